"""Data directory -> features directory, in parallel and resumable; one bad recording never stops the rest."""

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vc import audio, corpus, files, store
from vc.config import digest
from vc.corpus import Utterance
from vc.errors import ConfigError, DataError
from vc.features import pitch, world
from vc.features.world import F0Range, WorldConfig
from vc.normalise import summarise
from vc.parallel import mapped


@dataclass(frozen=True)
class Report:
    """What an extraction did."""

    done: int
    failures: list[str]  # one line each
    ranges: dict[str, F0Range]
    up_to_date: bool = False


@dataclass(frozen=True)
class _Task:
    """One utterance's work, and the file that keeps its result until all is done."""

    utterance: Utterance
    config: WorldConfig
    f0_range: F0Range | None  # None: first pass
    kept: Path


def extract(
    data: Path, output: Path, config: WorldConfig, jobs: int = 1, ranges: dict[str, F0Range] | None = None
) -> Report:
    """Extract `data` into `output`: F0 and mel-cepstra, per-speaker statistics and F0 search ranges.

    `ranges` gives speakers' F0 search ranges; the others' are found. Results lie in `output`/.work until all are
    there, so that an interrupted extraction goes on where it stopped. Raises DataError if nothing could be done.
    """
    utterances = corpus.read(data)
    _refuse_rate(utterances, config)
    ranges = dict(ranges or {})
    unknown = sorted(set(ranges) - {utterance.speaker for utterance in utterances})
    if unknown:
        raise DataError(f"{data}: no speaker {', '.join(unknown)} to give an F0 range to")
    made_of = digest(config, [_identity(u) for u in utterances], {who: vars(r) for who, r in sorted(ranges.items())})
    if _is_done(output, made_of):
        speakers = store.read_features(output).speakers
        return Report(len(utterances), [], {name: s.f0_range for name, s in speakers.items()}, up_to_date=True)
    work = output / ".work"
    work.mkdir(parents=True, exist_ok=True)
    failures: list[str] = []
    utterances = _find_ranges(utterances, config, ranges, work, jobs, failures)
    tasks = [_Task(u, config, ranges[u.speaker], work / f"{u.id}.npz") for u in utterances]
    results = _run(tasks, jobs, "features", failures)
    _finish(output, config, made_of if not failures else "incomplete", results, ranges)
    shutil.rmtree(work)
    return Report(len(results), failures, ranges)


def _refuse_rate(utterances: list[Utterance], config: WorldConfig) -> None:
    """A rate above that of all recordings is a mistake in the settings, not in one of them."""
    highest = 0
    for path in {utterance.path for utterance in utterances}:
        with contextlib.suppress(DataError):
            highest = max(highest, audio.info(path).sample_rate)
    if 0 < highest < config.sample_rate:
        hint = f"give --set features.sample_rate={highest}"
        raise ConfigError(f"features.sample_rate {config.sample_rate} is above the recordings' {highest} Hz; {hint}")


def _identity(utterance: Utterance) -> list:
    """What an utterance's features depend on beside the settings."""
    content = files.sha256(utterance.path) if utterance.path.is_file() else None
    return [utterance.id, utterance.speaker, content, utterance.start, utterance.end]


def _is_done(output: Path, made_of: str) -> bool:
    return (output / "config.yaml").is_file() and store.read_features(output).digest == made_of


def _find_ranges(
    utterances: list[Utterance],
    config: WorldConfig,
    ranges: dict[str, F0Range],
    work: Path,
    jobs: int,
    failures: list[str],
) -> list[Utterance]:
    """Fill in the ranges that are not given; return the utterances that could be read."""
    unknown = [utterance for utterance in utterances if utterance.speaker not in ranges]
    tasks = [_Task(utterance, config, None, work / f"{utterance.id}.f0.npz") for utterance in unknown]
    voiced: dict[str, list[np.ndarray]] = {}
    for utterance, arrays in _run(tasks, jobs, "F0 ranges", failures):
        voiced.setdefault(utterance.speaker, []).append(arrays["voiced"])
    for speaker, values in voiced.items():
        ranges[speaker] = pitch.search_range(values, speaker)
    failed = {line.split(": ", 1)[0] for line in failures}
    kept = [utterance for utterance in utterances if str(utterance.path) not in failed]
    if not kept:
        raise DataError(*failures)
    return kept


def _run(tasks: Iterable[_Task], jobs: int, title: str, failures: list[str]) -> list[tuple[Utterance, dict]]:
    results = []
    for task, result in mapped(_work, tasks, jobs, title):
        if isinstance(result, str):
            failures.append(result)
        else:
            results.append((task.utterance, result))
    return results


def _work(task: _Task) -> dict[str, np.ndarray] | str:
    """One utterance's arrays, kept or made; a fault as a line of text, for it must cross to the parent process."""
    key = digest(task.config, _identity(task.utterance), None if task.f0_range is None else vars(task.f0_range))
    kept = _kept(task.kept, key)
    if kept is not None:
        return kept
    try:
        arrays = _analyse(task)
    except DataError as error:
        return str(error)
    with files.replacing(task.kept) as temporary, temporary.open("wb") as file:
        np.savez(file, key=key, **arrays)
    return arrays


def _kept(path: Path, key: str) -> dict[str, np.ndarray] | None:
    """What an interrupted extraction left, if it was made of the same."""
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (OSError, ValueError):
        return None
    return arrays if arrays.pop("key", None) == key else None


def _analyse(task: _Task) -> dict[str, np.ndarray]:
    samples, rate = task.utterance.read()
    path, wanted = task.utterance.path, task.config.sample_rate
    if rate < wanted:
        raise DataError(
            f"{path}: recorded at {rate} Hz, below features.sample_rate {wanted}; set that to {rate} or lower"
        )
    samples = audio.resample(samples, rate, wanted)
    if task.f0_range is None:
        return {"voiced": pitch.first_pass(samples, task.config)}
    f0, mel_cepstrum = world.extract(samples, task.config, task.f0_range)
    if not np.isfinite(mel_cepstrum).all():
        raise DataError(f"{path}: its spectral envelope is not finite")
    return {"mcep": mel_cepstrum.astype(np.float32), "f0": f0.astype(np.float32)}


def _finish(
    output: Path, config: WorldConfig, made_of: str, results: list[tuple[Utterance, dict]], ranges: dict[str, F0Range]
) -> None:
    speakers = {}
    for name in sorted({utterance.speaker for utterance, _ in results}):
        arrays = [arrays for utterance, arrays in results if utterance.speaker == name]
        speakers[name] = summarise(name, [a["mcep"] for a in arrays], [a["f0"] for a in arrays], ranges[name])
    rows = ((u.id, u.speaker, arrays["mcep"], arrays["f0"]) for u, arrays in results)
    store.write_features(output, config, made_of, speakers, rows)
