"""One sentence's work: read its recordings, make its anchors, analyse and measure every system alike."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vc import audio
from vc.errors import DataError
from vc.evaluate.match import Recordings
from vc.features import pitch, world
from vc.features.world import F0Range, WorldConfig
from vc.metrics.scores import Observation, Track

REFERENCE, UNCONVERTED = "reference", "unconverted"
OF_SOURCE = (UNCONVERTED, "mean_variance")  # anchors that say what the source says, as every converted system does
ANCHORS = (*OF_SOURCE, "copy_synthesis", REFERENCE)


class Item(NamedTuple):
    """A sentence's recordings by system."""

    sentence: str
    recordings: Recordings


class Measured(NamedTuple):
    """One recording's figures, and its F0 for the picture."""

    observation: Observation
    f0: np.ndarray  # (frames,) Hz


class Maker(NamedTuple):
    """How an anchor is made."""

    origin: str  # the system whose recordings it is made of
    make: Callable
    folder: Path


def find_sample_rates(item: Item) -> dict[str, int]:
    """System -> Hz."""
    return {system: audio.info(utterance.path).sample_rate for system, utterance in item.recordings.items()}


def find_voiced(item: Item, systems: Sequence[str], config: WorldConfig) -> dict[str, np.ndarray]:
    """System -> voiced F0 values of the first pass; silence is refused."""
    found = {}
    for system in item.recordings.keys() & set(systems):
        samples, _ = item.recordings[system].read(config.sample_rate)
        if not samples.any():
            raise DataError(f"{item.recordings[system].path}: nothing but silence")
        found[system] = pitch.first_pass(samples, config)
    return found


def make_anchors(item: Item, makers: dict[str, Maker]) -> Recordings:
    """System -> recording of those anchors whose origin says the sentence."""
    return {
        system: maker.make(item.recordings[maker.origin], maker.folder / f"{item.sentence}.wav")
        for system, maker in makers.items()
        if maker.origin in item.recordings
    }


def measure(item: Item, config: WorldConfig, ranges: dict[str, F0Range]) -> dict[str, Measured]:
    """Analyse every recording of the sentence, and compare it with the target's and with what it was made of."""
    tracks = {}
    for system, utterance in item.recordings.items():
        samples, _ = utterance.read(config.sample_rate)
        f0, frames = world.extract(samples, config, ranges[system])
        tracks[system] = Track(frames, f0)
    reference, source = tracks.get(REFERENCE), tracks.get(UNCONVERTED)
    return {
        system: Measured(
            Observation.of(track, config.frame_rate, reference, source if says_source(system) else None), track.f0
        )
        for system, track in tracks.items()
    }


def says_source(system: str) -> bool:
    """Whether a system's recordings are made of the source's."""
    return system in OF_SOURCE or system not in ANCHORS
