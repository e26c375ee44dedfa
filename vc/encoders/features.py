"""The encoder that goes with features of kind content, and what it makes of a recording."""

from dataclasses import replace

import numpy as np

from vc import audio
from vc.config import require
from vc.encoders import choice
from vc.encoders.base import Encoder
from vc.features.content import ContentFeatures
from vc.features.kinds import FeatureConfig


def encoder_of(config: ContentFeatures) -> Encoder:
    """The encoder that `config` names; refuses one of other weights than those that it was completed with."""
    wanted = config.content
    found = choice.choose(wanted.encoder, wanted.layer)
    same = wanted.digest in ("", found.digest)
    message = f"the content encoder {wanted.encoder!r} has other weights than the one that made these features"
    require(same, f"{message}; extract them again, or bring that one back")
    return found


def completed(config: FeatureConfig, encoder: Encoder | None = None) -> FeatureConfig:
    """`config` with what only its content encoder knows, which is the one that it names unless `encoder` is given."""
    if not isinstance(config, ContentFeatures):
        return config
    own = encoder or encoder_of(config)
    found = {"digest": own.digest, "dims": own.dims, "frame_rate": own.frame_rate, "first": own.first}
    return replace(config, content=replace(config.content, **found))


def content_of(samples: np.ndarray, config: ContentFeatures, encoder: Encoder) -> np.ndarray:
    """`(content frames, dims)` of `(samples,)` at `config.sample_rate`."""
    return encoder.encode(audio.resample(samples.astype(np.float32), config.sample_rate, encoder.sample_rate))
