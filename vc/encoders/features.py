"""The encoder of features of kind content, and the content of a recording."""

from dataclasses import replace

import numpy as np

from vc.config import require
from vc.corpus import audio
from vc.encoders import choice
from vc.encoders.base import Encoder
from vc.features.base import FeatureConfig


def encoder_of(config: FeatureConfig) -> Encoder | None:
    """The encoder that `config` names, if any; raises ConfigError if its weights have changed since `complete`."""
    content = config.content
    if content is None:
        return None
    encoder = choice.choose(content.encoder, content.layer)
    same = content.digest in ("", encoder.digest)
    message = f"the content encoder {content.encoder!r} has other weights than the one that made these features"
    require(same, f"{message}; extract them again, or bring that one back")
    return encoder


def complete(config: FeatureConfig, encoder: Encoder | None = None) -> FeatureConfig:
    """`config` with digest, dims, frame rate and first frame of its content encoder; by default the one it names."""
    if config.content is None:
        return config
    encoder = encoder or encoder_of(config)
    names = ("digest", "dims", "frame_rate", "first")
    return replace(config, content=replace(config.content, **{name: getattr(encoder, name) for name in names}))


def content_of(samples: np.ndarray, config: FeatureConfig, encoder: Encoder) -> np.ndarray:
    """Content `(content frames, dims)` of `(samples,)` at `config.sample_rate`."""
    return encoder.encode(audio.resample(samples.astype(np.float32), config.sample_rate, encoder.sample_rate))
