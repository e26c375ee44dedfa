"""Data directory -> features directory, in parallel and resumable; one bad recording never stops the rest."""

import contextlib
import logging
import multiprocessing
import shutil
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc import audio, corpus, files, names, store
from vc.condition import Condition, filled_rate, measure
from vc.config import digest
from vc.corpus import Utterance
from vc.encoders.features import completed, content_of, encoder_of
from vc.errors import ConfigError, DataError, VCError, escaped
from vc.features import kinds, pitch
from vc.features.autocorrelation import PitchTrack
from vc.features.content import ContentFeatures, ContentMeter, ContentStatistics
from vc.features.kinds import FeatureConfig
from vc.features.mel_cepstrum import SETTINGS
from vc.features.pitch import Voice
from vc.features.speech import speech
from vc.features.world import F0Range, WorldConfig
from vc.normalise import Speaker, summarise
from vc.parallel import mapped

REVISION = 2  # of what is extracted with the same settings: features of another are made anew
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
    called = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    given = {names.resolve(name, called): f0_range for name, f0_range in (ranges or {}).items()}
    unknown = sorted(set(given) - {utterance.speaker for utterance in utterances})
    if unknown:
        raise DataError(f"{data}: no speaker {', '.join(unknown)} to give an F0 range to")
    failures: list[str] = []
    utterances = _at_sufficient_rate(utterances, config, failures)
    finished = _finished(output, _made_of(config, utterances, given))
    if finished:
        return Report(len(utterances), failures, finished, up_to_date=True)
    work = output / ".work"
    work.mkdir(parents=True, exist_ok=True)
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


def automatic_rate(data: Path, jobs: int = 1) -> int:
    """The highest supported sample rate, up to the usual one, whose band the recordings of a data directory fill.

    It is measured, not read from headers: what was upsampled, or coded for a telephone, is empty higher up.
    """
    rates = [rate for rate in SETTINGS if rate <= WorldConfig().sample_rate]
    measured = [(u, found) for u, found in mapped(_condition, corpus.read(data), jobs, "bandwidth")]
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
    lowest, left = min(rates.values()), [u for u in utterances if u not in below]
    hint = f"--set features.sample_rate={max((r for r in SETTINGS if r <= lowest), default=min(SETTINGS))} takes all"
    said = (
        f"features.sample_rate {config.sample_rate} is above the rate of {len(below)} of {len(utterances)} recordings"
    )
    said = f"{said}, such as {below[0].path} at {rates[below[0].path]} Hz; {hint}"
    if {u.speaker for u in left} != {u.speaker for u in utterances}:
        raise ConfigError(said)
    failures.append(said)
    return left


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
    samples = audio.resample(samples, rate, task.config.sample_rate)
    if task.voice is None:
        return vars(pitch.first_pass(samples, task.config, task.search))
    f0, frames = kinds.extract(samples, task.config, task.voice.f0_range)
    if not np.isfinite(frames).all():
        raise DataError(f"{task.utterance.path}: its spectrum is not finite")
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
