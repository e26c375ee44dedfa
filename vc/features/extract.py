"""Data directory -> features directory, in parallel and resumable; one bad recording never stops the rest."""

import contextlib
import logging
import multiprocessing
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vc import files, tensor_file
from vc.config import digest
from vc.corpus import audio, data_directory, names
from vc.corpus.condition import Condition, filled_rate, measure
from vc.corpus.data_directory import Utterance
from vc.errors import ConfigError, DataError, VCError, escaped
from vc.features import kinds, pitch, store
from vc.features.autocorrelation import PitchTrack
from vc.features.content import ContentFeatures, ContentMeter
from vc.features.kinds import FeatureConfig
from vc.features.mel_cepstrum import SETTINGS
from vc.features.pitch import Voice
from vc.features.speakers import Speaker, summarise
from vc.features.speech import speech
from vc.features.windows import Window, claims_to_be_long, features, track, valid, windows_of
from vc.features.world import F0Range, WorldConfig
from vc.parallel import mapped

REVISION = 2  # of what is extracted with the same settings: features of another are made anew
KEPT = ".safetensors"  # ending of a window's arrays
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """What an extraction did."""

    done: int
    failures: list[str]  # one line each
    speakers: dict[str, Speaker]
    up_to_date: bool = False


@dataclass(frozen=True)
class _Task:
    """One window's work, and the file that keeps its result until all is done."""

    window: Window
    identity: list  # of its utterance
    config: FeatureConfig
    search: F0Range  # of the first pass
    voice: Voice | None  # None: it is the first pass
    kept: Path


def extract(
    data: Path, output: Path, config: FeatureConfig, jobs: int = 1, ranges: dict[str, F0Range] | None = None
) -> Report:
    """Extract `data` into `output`: F0 and mel-cepstra, per-speaker statistics and F0 search ranges.

    `ranges` gives speakers' F0 search ranges; the others' are found. Whispered recordings have no F0, and are features
    all the same. Results lie in `output`/.work until all are there, so that an interrupted extraction goes on where it
    stopped. Raises DataError if nothing could be done.
    """
    utterances = data_directory.read(data)
    if isinstance(config, ContentFeatures):
        from vc.encoders.features import completed  # torch, which takes longer and more memory than all else here

        config = completed(config)
    called = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    given = {names.resolve(name, called): f0_range for name, f0_range in (ranges or {}).items()}
    unknown = sorted(set(given) - {utterance.speaker for utterance in utterances})
    if unknown:
        raise DataError(f"{data}: no speaker {', '.join(unknown)} to give an F0 range to")
    failures: list[str] = []
    utterances = _at_sufficient_rate(utterances, config, failures)
    identities = _identities(utterances)
    finished = _finished(output, _made_of(config, identities.values(), given))
    if finished:
        return Report(len(utterances), failures, finished, up_to_date=True)
    files.make_directory(output)
    work = files.inside(output, ".work")
    work.mkdir(exist_ok=True)
    with files.locked(work):
        return _extracted(utterances, identities, output, work, config, jobs, given, failures)


def _extracted(
    utterances: list[Utterance],
    identities: dict[str, list],
    output: Path,
    work: Path,
    config: FeatureConfig,
    jobs: int,
    given: dict[str, F0Range],
    failures: list[str],
) -> Report:
    """Features in `output`, by way of what is in `work` already."""
    first = [
        _Task(window, identities[u.id], config, given.get(u.speaker, pitch.WIDE), None, work / f"{u.id}.{n}.f0{KEPT}")
        for u in utterances
        for n, window in enumerate(windows_of(u))
    ]
    tracks: dict[str, list[tuple[str, PitchTrack]]] = {}
    for recording in _run(first, jobs, "F0 ranges", failures):
        found = {name: np.concatenate(list(recording[name])) for name in PitchTrack.__dataclass_fields__}
        tracks.setdefault(recording.utterance.speaker, []).append((recording.utterance.id, PitchTrack(**found)))
    voices = {}
    for who, own in tracks.items():
        try:
            voices[who] = pitch.find_voice((found for _, found in own), config, who, given.get(who))
        except DataError as error:
            failures.append(str(error))
    readable = {id for who in voices for id, _ in tracks[who]}
    tracks.clear()
    tasks = [
        replace(task, voice=voices[task.window.utterance.speaker], kept=task.kept.with_suffix("").with_suffix(KEPT))
        for task in first
        if task.window.utterance.id in readable
    ]
    results = _run(tasks, jobs, "features", failures)
    if not results:
        raise DataError(*failures)
    made_of = _made_of(config, [identities[recording.utterance.id] for recording in results], given)
    speakers = {}
    for name in sorted({recording.utterance.speaker for recording in results}):
        own = [recording for recording in results if recording.utterance.speaker == name]
        speakers[name] = _summarised(own, voices[name], config, name in given)
    rows = ((recording.utterance.id, recording.utterance.speaker, recording) for recording in results)
    recordings = {recording.utterance.id: recording.digest for recording in results}
    store.write_features(output, config, made_of, speakers, rows, recordings)
    shutil.rmtree(work)
    return Report(len(results), failures, speakers)


@dataclass(frozen=True)
class _Recording:
    """What was made of an utterance, a window at a time, kept in files."""

    utterance: Utterance
    kept: list[Path]  # of its windows

    def __getitem__(self, name: str) -> Iterator[np.ndarray]:
        """One array, in the windows' parts."""
        return (tensor_file.read_arrays(path)[0][name] for path in self.kept)

    @property
    def digest(self) -> str:
        """Of the samples that it was made of."""
        return digest([part.tobytes().hex() for part in self["samples"]])


@dataclass(frozen=True)
class _Parts:
    """One array of many recordings, in parts that are read each time they are gone through."""

    recordings: list[_Recording]
    name: str

    def __iter__(self) -> Iterator[np.ndarray]:
        return (part for recording in self.recordings for part in recording[self.name])


def _summarised(recordings: list[_Recording], voice: Voice, config: FeatureConfig, range_given: bool) -> Speaker:
    """A speaker, from all of their recordings."""
    frames, heard = _Parts(recordings, "frames"), []
    levels = [
        [kinds.to_mel_cepstrum(part, config)[:, :1].copy() for part in recording["frames"]]  # not a view of all bands
        for recording in recordings
    ]
    for parts, mask in zip(levels, speech([np.concatenate(parts) for parts in levels])):
        heard += np.split(mask, np.cumsum([len(part) for part in parts])[:-1])
    content = None
    if isinstance(config, ContentFeatures):
        meter = ContentMeter()
        for said, log_mel, mask in zip(_Parts(recordings, "content"), frames, heard):
            meter.add(kinds.content_at(said, kinds.content_places(len(log_mel), len(said), config)), log_mel, mask)
        content = meter.statistics()
    return summarise(
        recordings[0].utterance.speaker,
        frames,
        voice,
        speech=heard,
        utterances=len(recordings),
        range_given=range_given,
        content=content,
        speaker_name=recordings[0].utterance.speaker_name,
    )


def chosen_config(settings: dict[str, Any], data: Path, jobs: int = 1) -> FeatureConfig:
    """What a `features` section asks for; mel-cepstra without a sample rate take the one that `data` fills."""
    config = kinds.build_features(settings)
    if isinstance(config, WorldConfig) and "sample_rate" not in settings:
        config = kinds.build_features({**settings, "sample_rate": automatic_rate(data, jobs)})
    return config


def automatic_rate(data: Path, jobs: int = 1) -> int:
    """The highest supported sample rate, up to the usual one, whose band the recordings of a data directory fill.

    It is measured, not read from headers: what was upsampled, or coded for a telephone, is empty higher up.
    """
    rates = [rate for rate in SETTINGS if rate <= WorldConfig().sample_rate]
    measured = [(u, found) for u, found in mapped(_condition, data_directory.read(data), jobs, "bandwidth")]
    measured = [(u, found) for u, found in measured if not isinstance(found, DataError)]  # which extraction will name
    conditions = [condition for _, condition in measured]
    chosen = (filled_rate(conditions, rates) if measured else None) or min(rates)
    said = f"{data}: features.sample_rate {chosen}, the highest up to {max(rates)} Hz whose band the recordings fill"
    higher = next((rate for rate in rates if rate > chosen), np.inf)
    less = [(u.path, one) for u, one in measured if one.sample_rate < higher or not one.fills(higher)]
    if chosen < max(rates) and less:
        path, one = less[0]
        said += f"; for {higher} Hz too narrow: {len(less)} of {len(measured)}, such as {escaped(path)}"
        said += f" ({one.sample_rate} Hz, filled up to {one.bandwidth / 1000:.1f} kHz)"
    log.info("%s", said)
    return chosen


def _condition(utterance: Utterance) -> Condition:
    return measure(utterance.blocks(), audio.info(utterance.path).sample_rate)


def _at_sufficient_rate(utterances: list[Utterance], config: FeatureConfig, failures: list[str]) -> list[Utterance]:
    """Utterances whose recordings hold all that is analysed; the others are one fault.

    That of all recordings, or of all of a speaker's, is a mistake in the settings and not in the recordings.
    """
    rates = {}
    for path in {utterance.path for utterance in utterances}:
        with contextlib.suppress(DataError):
            rates[path] = audio.info(path).sample_rate
    below = [u for u in utterances if rates.get(u.path, config.lowest_rate) < config.lowest_rate]
    if not below:
        return utterances
    lowest = min(rates.values())
    left = [u for u in utterances if rates.get(u.path, config.lowest_rate) >= config.lowest_rate]
    hint = f"--set features.sample_rate={max((r for r in SETTINGS if r <= lowest), default=min(SETTINGS))} takes all"
    said = (
        f"features.sample_rate {config.sample_rate} is above the rate of {len(below)} of {len(utterances)} recordings"
    )
    said = f"{said}, such as {below[0].path} at {rates[below[0].path]} Hz; {hint}"
    if {u.speaker for u in left} != {u.speaker for u in utterances}:
        raise ConfigError(said)
    failures.append(said)
    return left


def _identities(utterances: Iterable[Utterance]) -> dict[str, list]:
    """What utterances' features depend on beside the settings, by id."""
    contents = {path: files.sha256(path) if path.is_file() else None for path in {u.path for u in utterances}}
    return {
        u.id: [u.id, u.speaker, contents[u.path], u.start, u.end, *(["in windows"] if claims_to_be_long(u) else [])]
        for u in utterances
    }


def _made_of(config: FeatureConfig, identities: Iterable[list], given: dict[str, F0Range]) -> str:
    """Digest of what features are made of: settings, recordings, and the F0 ranges that were given."""
    ranges = {speaker: vars(f0_range) for speaker, f0_range in sorted(given.items())}
    return digest(REVISION, config, list(identities), ranges)


def _finished(output: Path, made_of: str) -> dict[str, Speaker] | None:
    """The speakers of features that were made of the same; damaged ones are made again."""
    try:
        features = store.read_features(output)
        if features.digest != made_of or not features.signed:
            return None
        features.check()
    except VCError:
        return None
    return features.speakers


def _run(tasks: Iterable[_Task], jobs: int, title: str, failures: list[str]) -> list[_Recording]:
    """Recordings all of whose tasks succeed; the others' first faults go to `failures`."""
    recordings: dict[str, _Recording] = {}
    failed: set[str] = set()
    for task, fault in mapped(_work, tasks, jobs, title):
        utterance = task.window.utterance
        recordings.setdefault(utterance.id, _Recording(utterance, [])).kept.append(task.kept)
        if isinstance(fault, DataError) and utterance.id not in failed:
            failed.add(utterance.id)
            failures.append(str(fault))
    return [recording for id, recording in recordings.items() if id not in failed]


def _work(task: _Task) -> None:
    """One window's arrays: made, unless they are kept already."""
    ranges = [task.search, *([] if task.voice is None else [task.voice.f0_range])]
    settings = [task.config, task.identity, task.window.number, task.window.last]
    key = digest(REVISION, *settings, [each and vars(each) for each in ranges])
    if _is_kept(task, key):
        return
    if isinstance(task.config, ContentFeatures):
        _one_thread()
    if task.voice is None:
        arrays = track(task.window, task.config, task.search)
    else:
        arrays = features(task.window, task.config, task.voice.f0_range)
    tensor_file.write_arrays(task.kept, arrays, key)


def _is_kept(task: _Task, key: str) -> bool:
    """Whether an interrupted extraction left its result whole, and made of the same."""
    try:
        arrays, made_of = tensor_file.read_arrays(task.kept)
    except ConfigError:
        return False
    return made_of == key and valid(arrays, task.config, first_pass=task.voice is None)


def _one_thread() -> None:
    """In a worker: there are as many of them as there shall be threads, and results must not depend on how many."""
    if multiprocessing.parent_process() is not None:
        import torch

        torch.set_num_threads(1)
