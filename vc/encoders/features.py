"""The encoder that goes with features of kind content, and what it makes of a recording."""

from dataclasses import replace

import numpy as np

from vc.config import require
from vc.corpus import audio
from vc.encoders import choice
from vc.encoders.base import Encoder
from vc.features.base import FeatureConfig


def encoder_of(config: FeatureConfig) -> Encoder | None:
    """The encoder that `config` names, if any; refuses one of other weights than those that it was completed with."""
    if config.content is None:
        return None
    wanted = config.content
    encoder = choice.choose(wanted.encoder, wanted.layer)
    same = wanted.digest in ("", encoder.digest)
    message = f"the content encoder {wanted.encoder!r} has other weights than the one that made these features"
    require(same, f"{message}; extract them again, or bring that one back")
    return encoder


def completed(config: FeatureConfig, encoder: Encoder | None = None) -> FeatureConfig:
    """`config` with what only its content encoder knows, which is the one that it names unless `encoder` is given."""
    if config.content is None:
        return config
    encoder = encoder or encoder_of(config)
    names = ("digest", "dims", "frame_rate", "first")
    return replace(config, content=replace(config.content, **{name: getattr(encoder, name) for name in names}))


def content_of(samples: np.ndarray, config: FeatureConfig, encoder: Encoder) -> np.ndarray:
    """`(content frames, dims)` of `(samples,)` at `config.sample_rate`."""
    return encoder.encode(audio.resample(samples.astype(np.float32), config.sample_rate, encoder.sample_rate))
