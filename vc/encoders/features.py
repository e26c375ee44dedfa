"""Content encoders of features with content."""

from dataclasses import replace

import numpy as np

from vc.config import require
from vc.corpus import audio
from vc.encoders import choice
from vc.encoders.base import Encoder
from vc.features.base import FeatureConfig


def encoder_of(config: FeatureConfig) -> Encoder | None:
    """Load the encoder that `config` names, or None if it has none.

    Raises
    ------
    ConfigError
        The encoder cannot be loaded, or its weights have changed since `complete`.
    """
    content = config.content
    if content is None:
        return None
    encoder = choice.choose(content.encoder, content.layer)
    same = content.digest in ("", encoder.digest)
    message = f"the weights of content encoder {content.encoder!r} differ from those that these features were made with"
    require(same, f"{message}; extract the features again, or restore that encoder")
    return encoder


def complete(config: FeatureConfig, encoder: Encoder | None = None) -> FeatureConfig:
    """Fill in the encoder's properties (digest, dims, frame rate, first frame); default: the encoder `config` names."""
    if config.content is None:
        return config
    encoder = encoder or encoder_of(config)
    names = ("digest", "dims", "frame_rate", "first")
    return replace(config, content=replace(config.content, **{name: getattr(encoder, name) for name in names}))


def content_of(samples: np.ndarray, config: FeatureConfig, encoder: Encoder) -> np.ndarray:
    """Encode `(samples,)` at `config.sample_rate` as content `(content frames, dims)`."""
    return encoder.encode(audio.resample(samples.astype(np.float32), config.sample_rate, encoder.sample_rate))
