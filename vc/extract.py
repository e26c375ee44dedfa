"""Data directory -> features directory, in parallel and resumable; one bad recording never stops the rest."""

import contextlib
import multiprocessing
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc import audio, corpus, files, names, store
from vc.config import digest
from vc.corpus import Utterance
from vc.encoders.features import completed, content_of, encoder_of
from vc.errors import ConfigError, DataError, VCError
from vc.features import kinds, pitch
from vc.features.autocorrelation import PitchTrack
from vc.features.content import ContentFeatures, ContentMeter, ContentStatistics
from vc.features.kinds import FeatureConfig
from vc.features.pitch import Voice
from vc.features.speech import speech
from vc.features.world import F0Range
from vc.normalise import Speaker, summarise
from vc.parallel import mapped

REVISION = 2  # of what is extracted with the same settings: features of another are made anew


@dataclass(frozen=True)
class Report:
    """What an extraction did."""

    done: int
    failures: list[str]  # one line each
    speakers: dict[str, Speaker]
    up_to_date: bool = False


@dataclass(frozen=True)
class _Task:
    """One utterance's work, and the file that keeps its result until all is done."""

    utterance: Utterance
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
    utterances, config = corpus.read(data), completed(config)
    _refuse_rate(utterances, config)
    called = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    given = {names.resolve(name, called): f0_range for name, f0_range in (ranges or {}).items()}
    unknown = sorted(set(given) - {utterance.speaker for utterance in utterances})
    if unknown:
        raise DataError(f"{data}: no speaker {', '.join(unknown)} to give an F0 range to")
    finished = _finished(output, _made_of(config, utterances, given))
    if finished:
        return Report(len(utterances), [], finished, up_to_date=True)
    work = output / ".work"
    work.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    first = [_Task(u, config, given.get(u.speaker, pitch.WIDE), None, work / f"{u.id}.f0.npz") for u in utterances]
    tracks: dict[str, list[tuple[str, PitchTrack]]] = {}
    for utterance, arrays in _run(first, jobs, "F0 ranges", failures):
        tracks.setdefault(utterance.speaker, []).append((utterance.id, PitchTrack(**arrays)))
    voices = {}
    for who, own in tracks.items():
        try:
            voices[who] = pitch.find_voice((track for _, track in own), config, who, given.get(who))
        except DataError as error:
            failures.append(str(error))
    readable = {id for who in voices for id, _ in tracks[who]}
    tasks = [
        _Task(u, config, given.get(u.speaker, pitch.WIDE), voices[u.speaker], work / f"{u.id}.npz")
        for u in utterances
        if u.id in readable
    ]
    results = _run(tasks, jobs, "features", failures)
    if not results:
        raise DataError(*failures)
    made_of = _made_of(config, [u for u, _ in results], given)
    speakers = {}
    for name in sorted({utterance.speaker for utterance, _ in results}):
        frames = [arrays["frames"] for utterance, arrays in results if utterance.speaker == name]
        heard = speech([kinds.to_mel_cepstrum(each, config) for each in frames])
        content = None
        if isinstance(config, ContentFeatures):
            own = [arrays["content"] for utterance, arrays in results if utterance.speaker == name]
            content = _statistics(own, frames, heard, config)
        speakers[name] = summarise(
            name,
            frames,
            voices[name],
            speech=heard,
            range_given=name in given,
            content=content,
            speaker_name=called[name],
        )
    rows = ((u.id, u.speaker, arrays) for u, arrays in results)
    store.write_features(output, config, made_of, speakers, rows)
    shutil.rmtree(work)
    return Report(len(results), failures, speakers)


def _statistics(
    content: list[np.ndarray], frames: list[np.ndarray], speech: list[np.ndarray], config: ContentFeatures
) -> ContentStatistics:
    """A speaker's, from all of their recordings."""
    meter = ContentMeter()
    for said, log_mel, heard in zip(content, frames, speech):
        meter.add(kinds.content_at(said, kinds.content_places(len(log_mel), len(said), config)), log_mel, heard)
    return meter.statistics()


def _refuse_rate(utterances: list[Utterance], config: FeatureConfig) -> None:
    """A rate above that of all recordings is a mistake in the settings, not in one of them."""
    highest = 0
    for path in {utterance.path for utterance in utterances}:
        with contextlib.suppress(DataError):
            highest = max(highest, audio.info(path).sample_rate)
    if 0 < highest < config.lowest_rate:
        hint = f"give --set features.sample_rate={highest}"
        raise ConfigError(f"features.sample_rate {config.sample_rate} is above the recordings' {highest} Hz; {hint}")


def _identity(utterance: Utterance) -> list:
    """What an utterance's features depend on beside the settings."""
    content = files.sha256(utterance.path) if utterance.path.is_file() else None
    return [utterance.id, utterance.speaker, content, utterance.start, utterance.end]


def _made_of(config: FeatureConfig, utterances: Iterable[Utterance], given: dict[str, F0Range]) -> str:
    """Digest of what features are made of: settings, recordings, and the F0 ranges that were given."""
    ranges = {speaker: vars(f0_range) for speaker, f0_range in sorted(given.items())}
    return digest(REVISION, config, [_identity(utterance) for utterance in utterances], ranges)


def _finished(output: Path, made_of: str) -> dict[str, Speaker] | None:
    """The speakers of features that were made of the same; damaged ones are made again."""
    try:
        features = store.read_features(output)
    except VCError:
        return None
    return features.speakers if features.digest == made_of else None


def _run(tasks: Iterable[_Task], jobs: int, title: str, failures: list[str]) -> list[tuple[Utterance, dict]]:
    """Results of the tasks that succeed; the others' faults go to `failures`."""
    results = []
    for task, result in mapped(_work, tasks, jobs, title):
        if isinstance(result, DataError):
            failures.append(str(result))
        else:
            results.append((task.utterance, result))
    return results


def _work(task: _Task) -> dict[str, np.ndarray]:
    """One utterance's arrays, kept or made."""
    ranges = [task.search, *([] if task.voice is None else [task.voice.f0_range])]
    key = digest(REVISION, task.config, _identity(task.utterance), [each and vars(each) for each in ranges])
    kept = _kept(task.kept, key)
    if kept is not None:
        return kept
    arrays = _analyse(task)
    with files.replacing(task.kept) as temporary, temporary.open("wb") as file:
        np.savez(file, key=key, **arrays)
    return arrays


def _kept(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """What an interrupted extraction left, if it is whole and was made of the same."""
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return arrays if arrays.pop("key", None) == key else None


def _analyse(task: _Task) -> dict[str, np.ndarray]:
    samples, rate = task.utterance.read()
    path, wanted = task.utterance.path, task.config.sample_rate
    if rate < task.config.lowest_rate:
        raise DataError(
            f"{path}: recorded at {rate} Hz, below features.sample_rate {wanted}; set that to {rate} or lower"
        )
    samples = audio.resample(samples, rate, wanted)
    if task.voice is None:
        return vars(pitch.first_pass(samples, task.config, task.search))
    f0, frames = kinds.extract(samples, task.config, task.voice.f0_range)
    if not np.isfinite(frames).all():
        raise DataError(f"{path}: its spectrum is not finite")
    arrays = {"frames": frames.astype(np.float32), "f0": f0.astype(np.float32)}
    if isinstance(task.config, ContentFeatures):
        _one_thread()
        arrays["content"] = content_of(samples, task.config, encoder_of(task.config))
    return arrays


def _one_thread() -> None:
    """In a worker: there are as many of them as there shall be threads, and results must not depend on how many."""
    if multiprocessing.parent_process() is not None:
        import torch

        torch.set_num_threads(1)
