"""Anchors, which say what a converted set's figures are worth, and a model's cycle there and back.

Copy-synthesis is the target through WORLD and back, by the settings of the model's features; mean-variance is the
source moved by a model's statistics, without its networks.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vc.convert.copy_synthesis import Copier
from vc.corpus import audio
from vc.corpus.data_directory import Utterance
from vc.corpus.limiter import limit, to_full_scale
from vc.errors import ConfigError
from vc.evaluate.match import Recordings, Sentence
from vc.features.base import FeatureConfig
from vc.features.f0 import F0Range
from vc.features.world import WorldConfig
from vc.metrics import audible
from vc.metrics.arrays import evenly_spread
from vc.vocoders.world import WORLD

REFERENCE, UNCONVERTED, MEAN_VARIANCE, COPY_SYNTHESIS = "reference", "unconverted", "mean_variance", "copy_synthesis"
OF_SOURCE = (UNCONVERTED, MEAN_VARIANCE)  # anchors that say what the source says, as every converted system does
ANCHORS = (*OF_SOURCE, COPY_SYNTHESIS, REFERENCE)
MAX_CYCLES = 8  # sentences taken there and back, spread over all
NOISE = 0.1  # deviations of the target's features
SEED = 0


def says_source(system: str) -> bool:
    """Whether a system's recordings say the source's sentences."""
    return system in OF_SOURCE or system not in ANCHORS


@dataclass(frozen=True)
class Direction:
    """Who is converted to whom by which model."""

    model: Path
    source: str | None  # None: anyone, of a model that needs no source
    target: str
    features: FeatureConfig
    maps: bool = True  # frames of one speaker to another's, and back

    @property
    def sample_rate(self) -> int:
        """Of the converted recordings, in Hz."""
        return self.features.sample_rate


class AnchorSettings(NamedTuple):
    """Where anchors are written, and what they are computed with."""

    folder: Path  # of their recordings
    analysis: WorldConfig  # of copy-synthesis
    f0_range: F0Range | None  # of the target; None without F0
    direction: Direction | None  # of the model; None without mean-variance

    @property
    def names(self) -> list[str]:
        """The anchors to write."""
        return [COPY_SYNTHESIS, *([MEAN_VARIANCE] if self.direction and self.direction.maps else [])]


class Cycle(NamedTuple):
    """There and back over the source's speech frames, c1..D in units of the source's deviations."""

    error: float  # root mean square of the difference between what comes back and the original
    gain: float  # how much larger small noise has become on the conversion back; 1: as large as it was


@lru_cache(maxsize=1)
def load_converter(model: Path) -> "Converter":  # noqa: F821 - not light
    """The converter of a model, read once per process; it speaks through WORLD."""
    from vc.convert.converter import Converter

    return Converter.load(model, vocoder="world")


def find_direction(model: Path, *, source: str | None, target: str | None) -> Direction:
    """A direction of a model between the speakers that are named; a pair's second is the target where none is.

    Raises
    ------
    ConfigError
        If the model has no such speakers, or several could be meant.
    """
    converter = load_converter(model)
    if converter.decodes and source not in converter.speakers:
        source = None
    try:
        source, target = converter.direction(to=target, source=source)
    except ConfigError as error:
        raise ConfigError(f"{model}: {error}") from error
    return Direction(model, source, target, converter.model.features, not converter.decodes)


def copy_synthesis_config(direction: Direction | None, measured_by: WorldConfig) -> WorldConfig:
    """The model's features if they are WORLD's, otherwise the defaults at the measured rate."""
    if direction and direction.features.cepstral:
        return direction.features
    return WorldConfig(measured_by.sample_rate)


def make_anchors(sentence: Sentence, settings: AnchorSettings) -> Recordings:
    """Write one sentence's anchors; anchor -> recording, of those whose original says the sentence."""
    anchors, recordings = {}, sentence.recordings
    for name, original in ((COPY_SYNTHESIS, REFERENCE), (MEAN_VARIANCE, UNCONVERTED)):
        if name in settings.names and original in recordings:
            path = settings.folder / name / f"{sentence.name}.wav"
            if name == COPY_SYNTHESIS:
                anchors[name] = copy_synthesis(recordings[original], path, settings.analysis, settings.f0_range)
            else:
                anchors[name] = mean_variance(recordings[original], path, settings.direction)
    return anchors


def copy_synthesis(utterance: Utterance, path: Path, config: WorldConfig, f0_range: F0Range | None) -> Utterance:
    """Write an utterance, analysed and synthesised again, to `path`."""
    samples, _ = utterance.read(config.sample_rate)
    copied = to_full_scale(float(np.abs(samples).max())) * Copier(WORLD, config).copy(samples, f0_range)
    return _write(path, copied, config.sample_rate)


def mean_variance(utterance: Utterance, path: Path, direction: Direction) -> Utterance:
    """Write an utterance, moved by the model's statistics alone, to `path`."""
    converter = _mean_variance_converter(load_converter(direction.model))
    samples, rate = utterance.read()
    moved = converter.convert(samples, rate, to=direction.target, source=direction.source)
    return _write(path, moved, converter.sample_rate)


def measure_cycle(
    converter: "Converter",  # noqa: F821 - not light
    utterances: Sequence[Utterance],
    direction: Direction,
) -> Cycle | None:
    """Whether a model's cycle, there and back, hides information in details that cannot be heard.

    A cycle-consistent network may write what it needs for the conversion back into details of the converted features,
    as networks for images do (Chu, Zhmoginov and Sandler, "CycleGAN, a master of steganography", NIPS workshop 2017):
    the cycle then closes although the content is gone. Such a code does not survive noise, which an honest conversion
    back leaves as small as it was.

    Parameters
    ----------
    converter : Converter
        Of the model.
    utterances : sequence of Utterance
        The source's; up to MAX_CYCLES of them are converted, spread over all.
    direction : Direction
        There.

    Returns
    -------
    Cycle or None
        None for a model that converts in one direction only.
    """
    if not direction.maps or len(converter.speakers) != 2:
        return None
    random, config = np.random.default_rng(SEED), converter.model.features
    there, back = (direction.source, direction.target), (direction.target, direction.source)
    source, target = (converter.model.speakers[name] for name in there)
    squares = []  # of the error, and of what noise has become
    for index in evenly_spread(len(utterances), MAX_CYCLES):
        samples, _ = utterances[index].read(converter.sample_rate)
        _, frames = config.extract(samples, source.f0_range)
        converted = converter.convert_frames(frames, *there)
        noise = NOISE * random.standard_normal(converted.shape) * target.normaliser.deviation_
        noise[:, : config.unconverted_bands] = 0  # c0 is the source's in either direction
        returned, disturbed = (converter.convert_frames(each, *back) for each in (converted, converted + noise))
        speech, unit = audible(config.to_mel_cepstrum(frames)), source.normaliser.deviation_[config.unconverted_bands :]
        pairs = (returned, frames), (disturbed, returned)
        differences = ((one - other)[speech, config.unconverted_bands :] / unit for one, other in pairs)
        squares.append([float(np.square(each).mean()) for each in differences])
    error, remaining = np.sqrt(np.mean(squares, axis=0))
    return Cycle(float(error), float(remaining / NOISE))


@lru_cache(maxsize=1)
def _mean_variance_converter(converter: "Converter") -> "Converter":  # noqa: F821 - not light
    """Kept, so that a process loads the vocoder of the model's features once and not once per sentence."""
    from vc.vocoders import choice

    for name in ("vc.convert.level", "vc.corpus.limiter"):
        logging.getLogger(name).setLevel(logging.ERROR)  # that an anchor's peaks had to be lowered is no news
    statistics_alone = converter.mean_variance()
    statistics_alone.vocoder = choice.usual(converter.model.features)
    return statistics_alone


def _write(path: Path, samples: np.ndarray, rate: int) -> Utterance:
    audio.write(path, limit(samples, rate), rate)
    return Utterance(path.stem, "", path)
