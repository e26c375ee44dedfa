"""One sentence's work: read its recordings, make its anchors, analyse and measure every system alike."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vc import audio
from vc.corpus import Utterance
from vc.errors import DataError
from vc.evaluate.hearing import Heard, hear, heard_figures
from vc.evaluate.match import Recordings
from vc.features import pitch, world
from vc.features.autocorrelation import PitchTrack
from vc.features.world import F0Range, WorldConfig
from vc.metrics import phones, words
from vc.metrics.conventions import compared_frames, frames_distortion
from vc.metrics.registry import METRICS, convention_metric
from vc.metrics.scores import Observation, Track

REFERENCE, UNCONVERTED = "reference", "unconverted"
OF_SOURCE = (UNCONVERTED, "mean_variance")  # anchors that say what the source says, as every converted system does
MODEL = "model"  # stands for it among the verdicts
ABOVE = 2  # times the common rate, to which a recording at that is brought and back where others came from above
ANCHORS = (*OF_SOURCE, "copy_synthesis", REFERENCE)


class Item(NamedTuple):
    """A sentence's recordings by system, and what it says, where that is known."""

    sentence: str
    recordings: Recordings
    text: str | None = None


class Measured(NamedTuple):
    """One recording's figures, and its F0 for the picture."""

    observation: Observation
    f0: np.ndarray  # (frames,) Hz
    remarks: list[str]  # why a measure says nothing of it


class Settings(NamedTuple):
    """How every recording is measured."""

    config: WorldConfig
    ranges: dict[str, F0Range | None]  # by system; None: without F0
    measures: Sequence[str]  # of hearing.MEASURES
    conventions: Mapping[str, int]  # of metrics.CONVENTIONS, each with its sample rate in Hz
    mixed_rates: bool = False  # whether recordings differ in sample rate


class Maker(NamedTuple):
    """How an anchor is made."""

    origin: str  # the system whose recordings it is made of
    make: Callable
    folder: Path


def find_sample_rates(item: Item) -> dict[str, int]:
    """System -> Hz."""
    return {system: audio.info(utterance.path).sample_rate for system, utterance in item.recordings.items()}


def find_tracks(item: Item, systems: Sequence[str], config: WorldConfig) -> dict[str, PitchTrack]:
    """System -> F0 by the first pass; silence is refused."""
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


def measure(item: Item, settings: Settings) -> dict[str, Measured]:
    """Analyse every recording of the sentence, and compare it with the target's and with what it was made of."""
    tracks = {system: _track(utterance, settings, system) for system, utterance in item.recordings.items()}
    heard = {
        system: hear(*utterance.read(), settings.measures, settings.config.sample_rate)
        for system, utterance in item.recordings.items()
    }
    remarks = {system: list(each.remarks) for system, each in heard.items()}
    more, expected = _by_conventions(item, settings, remarks), expected_phones(item, heard, remarks)
    by_plugins = _by_plugins(item, settings, remarks)
    wanted = expected_words(item, heard)
    reference, source = tracks.get(REFERENCE), tracks.get(UNCONVERTED)
    measured = {}
    for system, track in tracks.items():
        figures = {**more.get(system, {}), **by_plugins[system], **heard_figures(heard[system], expected, wanted)}
        origin = source if says_source(system) else None
        voice = heard[system].embedding, heard[system].content
        kept = Observation.of(track, settings.config.frame_rate, reference, origin, figures, *voice)
        measured[system] = Measured(kept, track.f0, remarks[system])
    return measured


def _track(utterance: Utterance, settings: Settings, system: str) -> Track:
    rate = settings.config.sample_rate
    samples, _ = utterance.read(rate)
    if settings.mixed_rates and audio.info(utterance.path).sample_rate == rate:
        # The filter that brings the others to this rate takes away what is close below half of it, which cepstra
        # would take for another voice.
        samples = audio.resample(audio.resample(samples, rate, ABOVE * rate), ABOVE * rate, rate)
    f0, frames = world.extract(samples, settings.config, settings.ranges[system])
    return Track(frames, f0)


def expected_phones(item: Item, heard: dict[str, Heard], remarks: dict[str, list[str]]) -> list[str] | None:
    """The phones of the text; of none, or one that cannot be read, those heard in the source's recording, or else in
    the target's.
    """
    origin = next((system for system in (UNCONVERTED, REFERENCE) if system in heard), None)
    if item.text is not None and any(each.phones is not None for each in heard.values()):
        try:
            return phones.from_text(item.text)
        except DataError as error:
            remarks[origin or next(iter(heard))].append(f"measure phones: the text is left aside: {error}")
    return heard[origin].phones if origin else None


def expected_words(item: Item, heard: dict[str, Heard]) -> str | None:
    """The text, or without one the words heard in the source's recording, or else in the target's."""
    origin = next((system for system in (UNCONVERTED, REFERENCE) if system in heard), None)
    said = item.text if item.text is not None else heard[origin].words if origin else None
    return said if said is None else words.spelt(said)


def _by_plugins(item: Item, settings: Settings, remarks: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """System -> the figures of metrics that other packages add."""
    figures: dict[str, dict[str, float]] = {system: {} for system in item.recordings}
    measures = {name: metric.figure for name, metric in METRICS.items() if metric.figure}
    if not measures:
        return figures
    rate = settings.config.sample_rate
    samples = {system: utterance.read(rate)[0] for system, utterance in item.recordings.items()}
    for system, own in samples.items():
        reference = None if system == REFERENCE else samples.get(REFERENCE)
        for name, figure in measures.items():
            try:
                value = figure(own, reference, rate)
            except DataError as error:
                remarks[system].append(f"metric {name}: {error}")
                continue
            if value is not None:
                figures[system][name] = float(value)
    return figures


def _by_conventions(item: Item, settings: Settings, remarks: dict[str, list[str]]) -> dict[str, dict[str, float]]:
    """System -> distortions by the conventions asked for, where the target says the sentence."""
    figures: dict[str, dict[str, float]] = {system: {} for system in item.recordings}
    if REFERENCE not in item.recordings or len(item.recordings) == 1:
        return figures
    for name, rate in settings.conventions.items():
        frames = {}
        for system, utterance in item.recordings.items():
            try:
                frames[system] = compared_frames(name, utterance.read(rate)[0], rate)
            except DataError as error:
                remarks[system].append(str(error))
        for system in frames.keys() - {REFERENCE}:
            if REFERENCE in frames:
                figures[system][convention_metric(name)] = frames_distortion(frames[system], frames[REFERENCE])
    return figures


def says_source(system: str) -> bool:
    """Whether a system's recordings are made of the source's."""
    return system in OF_SOURCE or system not in ANCHORS
