"""Anchors, which give a converted set's figures their scale, and the error of a model's conversion cycle.

`copy_synthesis` is the target analysed and resynthesised by WORLD with the settings of the model's features;
`mean_variance` is the source converted by a model's statistics alone, without its networks.
"""

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
from vc.messages import errors_only
from vc.metrics import audible
from vc.metrics.arrays import evenly_spread
from vc.vocoders.world import WORLD

REFERENCE, UNCONVERTED, MEAN_VARIANCE, COPY_SYNTHESIS = "reference", "unconverted", "mean_variance", "copy_synthesis"
SOURCE_ANCHORS = (UNCONVERTED, MEAN_VARIANCE)  # made of the source's recordings, as every converted system is
ANCHORS = (*SOURCE_ANCHORS, COPY_SYNTHESIS, REFERENCE)
MAX_CYCLES = 8  # sentences converted there and back, evenly spread over the set
NOISE = 0.1  # in standard deviations of the target's features
SEED = 0


def says_source(system: str) -> bool:
    """Whether a system's recordings say the source's sentences."""
    return system in SOURCE_ANCHORS or system not in ANCHORS


@dataclass(frozen=True)
class Direction:
    """A conversion direction of a model."""

    model: Path
    source: str | None  # None: any speaker, if the model needs no source
    target: str
    features: FeatureConfig
    maps: bool = True  # whether the model maps one speaker's frames to another's, and back

    @property
    def sample_rate(self) -> int:
        """Sample rate of the converted recordings in Hz."""
        return self.features.sample_rate


class AnchorSettings(NamedTuple):
    """Output folder and settings of the anchors."""

    folder: Path  # where their recordings are written
    analysis: WorldConfig  # for copy-synthesis
    f0_range: F0Range | None  # the target's; None for speech without F0
    direction: Direction | None  # of the model; None: no mean-variance anchor

    @property
    def names(self) -> list[str]:
        """The anchors to write."""
        return [COPY_SYNTHESIS, *([MEAN_VARIANCE] if self.direction and self.direction.maps else [])]


class Cycle(NamedTuple):
    """A conversion to the target and back: c1..D of the source's speech frames, in its standard deviations."""

    error: float  # RMS difference between the frames after the cycle and the originals
    gain: float  # amplification of small noise by the conversion back; 1: unchanged


@lru_cache(maxsize=1)
def load_converter(model: Path) -> "Converter":  # noqa: F821 - not light
    """Load a model's converter with the WORLD vocoder, once per process."""
    from vc.convert.converter import Converter

    return Converter.load(model, vocoder="world")


def find_direction(model: Path, *, source: str | None, target: str | None) -> Direction:
    """Find the direction of a model to evaluate.

    Parameters
    ----------
    model : Path
        Model file or experiment directory.
    source, target : str or None
        Speakers of the model. None: the other speaker of a pair, whose second speaker is the target by default.

    Returns
    -------
    Direction

    Raises
    ------
    ConfigError
        If the model has no such speaker, or the direction is ambiguous.
    """
    converter = load_converter(model)
    if converter.decodes and source not in converter.speakers:
        source = None
    try:
        source, target = converter.direction(to=target, source=source)
    except ConfigError as error:
        raise ConfigError(f"{model}: {error}") from error
    return Direction(model, source, target, converter.model.features, not converter.decodes)


def copy_synthesis_config(direction: Direction | None, analysis: WorldConfig) -> WorldConfig:
    """The model's feature settings if they are WORLD's, otherwise the defaults at the rate of the `analysis`."""
    if direction and direction.features.cepstral:
        return direction.features
    return WorldConfig(analysis.sample_rate)


def make_anchors(sentence: Sentence, settings: AnchorSettings) -> Recordings:
    """Write the anchors of a sentence that can be made of its recordings, and return them by name."""
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
    """Analyse and resynthesise an utterance with WORLD, and write it to `path`."""
    samples, _ = utterance.read(config.sample_rate)
    copied = to_full_scale(float(np.abs(samples).max())) * Copier(WORLD, config).copy(samples, f0_range)
    return _write(path, copied, config.sample_rate)


def mean_variance(utterance: Utterance, path: Path, direction: Direction) -> Utterance:
    """Convert an utterance by the model's means and variances alone, and write it to `path`."""
    converter = _mean_variance_converter(load_converter(direction.model))
    samples, rate = utterance.read()
    with errors_only("vc.corpus.limiter"):  # no warnings about limited peaks of an anchor
        converted = converter.convert(samples, rate, to=direction.target, source=direction.source)
    return _write(path, converted, converter.sample_rate)


def measure_cycle(
    converter: "Converter",  # noqa: F821 - not light
    utterances: Sequence[Utterance],
    direction: Direction,
) -> Cycle | None:
    """Measure whether a model's cycle consistency relies on inaudible details.

    A cycle-consistent network may encode what it needs for the conversion back in details of the converted features,
    as image networks do (Chu, Zhmoginov and Sandler, "CycleGAN, a master of steganography", NIPS workshop 2017): the
    cycle error is then low although the content is lost. Such an encoding does not survive small noise; a conversion
    back that needs none does not amplify the noise.

    Parameters
    ----------
    converter : Converter
        The model's.
    utterances : sequence of Utterance
        The source's; up to MAX_CYCLES are converted, evenly spread over them.
    direction : Direction
        From source to target.

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
    squares = []  # mean squares of the error, and of the noise after the conversion back
    for index in evenly_spread(len(utterances), MAX_CYCLES):
        samples, _ = utterances[index].read(converter.sample_rate)
        _, frames = config.extract(samples, source.f0_range)
        converted = converter.convert_frames(frames, *there)
        noise = NOISE * random.standard_normal(converted.shape) * target.normaliser.deviation_
        noise[:, : config.unconverted_bands] = 0  # c0 is the source's in either direction
        returned, disturbed = (converter.convert_frames(side, *back) for side in (converted, converted + noise))
        speech, unit = audible(config.to_mel_cepstrum(frames)), source.normaliser.deviation_[config.unconverted_bands :]
        pairs = (returned, frames), (disturbed, returned)
        differences = ((one - other)[speech, config.unconverted_bands :] / unit for one, other in pairs)
        squares.append([float(np.square(difference).mean()) for difference in differences])
    error, remaining = np.sqrt(np.mean(squares, axis=0))
    return Cycle(float(error), float(remaining / NOISE))


@lru_cache(maxsize=1)
def _mean_variance_converter(converter: "Converter") -> "Converter":  # noqa: F821 - not light
    """Cached, so that a process loads the vocoder of the model's features once, not once per sentence."""
    from vc.vocoders import choice

    statistics_alone = converter.mean_variance()
    statistics_alone.vocoder = choice.usual(converter.model.features)
    return statistics_alone


def _write(path: Path, samples: np.ndarray, rate: int) -> Utterance:
    audio.write(path, limit(samples, rate), rate)
    return Utterance(path.stem, "", path)
