"""Recordings that tell what a converted set's figures are worth, made one sentence at a time.

Copy-synthesis is the target through WORLD and back, by the settings of the model's features; mean-variance is the
source moved by a model's statistics, without its networks.
"""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vc.convert.level import to_full_scale
from vc.corpus import audio
from vc.corpus.data_directory import Utterance
from vc.corpus.limiter import limit
from vc.errors import ConfigError
from vc.features.base import FeatureConfig
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig
from vc.vocoders.world import WORLD


@dataclass(frozen=True)
class Direction:
    """Who is converted to whom by which model."""

    model: Path
    source: str | None  # None: whoever speaks
    target: str
    features: FeatureConfig
    maps: bool = True  # frames of one speaker to another's, and back

    @property
    def sample_rate(self) -> int:  # Hz
        return self.features.sample_rate


def find_direction(model: Path, source: str | None, target: str | None) -> Direction:
    """A direction of `model` between the speakers that are known; a pair's second is the target where none is."""
    from vc.convert.converter import Converter

    converter = Converter.load(model, vocoder="world")
    if converter.decodes and source not in converter.speakers:
        source = None
    try:
        source, target = converter.direction(to=target, source=source)
    except ConfigError as error:
        raise ConfigError(f"{model}: {error}") from error
    return Direction(model, source, target, converter.model.features, not converter.decodes)


def copied_by(direction: Direction | None, measured_by: WorldConfig) -> WorldConfig:
    """Settings of copy-synthesis: the model's if it has WORLD's features, or else the defaults at the measured rate."""
    if direction and direction.features.cepstral:
        return direction.features
    return WorldConfig(measured_by.sample_rate)


def copy_synthesis(utterance: Utterance, path: Path, config: WorldConfig, f0_range: F0Range | None) -> Utterance:
    """Write what analysis and synthesis make of `utterance` to `path`."""
    samples, _ = utterance.read(config.sample_rate)
    copied = to_full_scale(float(np.abs(samples).max())) * WORLD.copy(samples, config, f0_range)
    return _write(path, copied, config.sample_rate)


def mean_variance(utterance: Utterance, path: Path, direction: Direction) -> Utterance:
    """Write what the model's statistics alone make of `utterance` to `path`."""
    converter = _mean_variance_converter(direction.model)
    samples, rate = utterance.read()
    moved = converter.convert(samples, rate, to=direction.target, source=direction.source)
    return _write(path, moved, converter.sample_rate)


@lru_cache(maxsize=1)
def _mean_variance_converter(model: Path) -> Any:
    """Kept, so that a process reads a model once and not once a sentence."""
    from vc.convert.converter import Converter

    for name in ("vc.convert.level", "vc.corpus.limiter"):
        logging.getLogger(name).setLevel(logging.ERROR)  # that an anchor's peaks had to be lowered is no news
    return Converter.load(model).mean_variance()


def _write(path: Path, samples: np.ndarray, rate: int) -> Utterance:
    audio.write(path, limit(samples, rate), rate)
    return Utterance(path.stem, "", path)
