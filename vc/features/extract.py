"""Extract features from a data directory, in parallel and resumably; one bad recording does not stop the rest.

Long recordings are analysed in windows: memory is bounded, and frames lie where those of the whole recording would.
"""

import contextlib
import hashlib
import logging
import multiprocessing
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vc import files, phrases, tensor_file
from vc.config import difference, digest
from vc.corpus import audio, data_directory, names
from vc.corpus.condition import Condition, filled_rate, measure
from vc.corpus.data_directory import Utterance
from vc.corpus.pieces import LONGEST
from vc.errors import ConfigError, DataError, VCError, escaped
from vc.features import store
from vc.features.base import FeatureConfig
from vc.features.content import ContentMeter
from vc.features.f0 import WIDEST_RANGE, F0Range, F0Statistics, F0Track, f0_statistics
from vc.features.kinds import build_features
from vc.features.mel_cepstrum import SETTINGS
from vc.features.speakers import Speaker, summarise
from vc.features.speech import speech
from vc.files import path_inside
from vc.parallel import map_processes

REVISION = 2  # of the analysis; features of another revision are extracted again
WORK = ".work"  # subfolder of a features directory for the arrays of windows until all are done
LONGEST_WHOLE = LONGEST  # seconds; up to this length, recordings are analysed whole, as they are converted
WINDOW = 15.0  # seconds of a window without its overlaps; the last one is up to twice as long
OVERLAP = 1.0  # seconds of overlap with either neighbour
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Report:
    """Result of an extraction."""

    done: int  # utterances
    failed: int  # utterances
    failures: list[str]  # one line each, which may name several utterances
    speakers: dict[str, Speaker]
    up_to_date: bool = False


def chosen_config(settings: dict[str, Any], data: Path, jobs: int = 1) -> FeatureConfig:
    """Build the settings of a `features` section, choosing the sample rate by `data` if the kind allows it.

    Raises
    ------
    ConfigError
        The section is not valid.
    DataError
        The data directory has faults.
    """
    config = build_features(settings)
    if config.automatic_rates and "sample_rate" not in settings:
        rate = automatic_rate(data, config.automatic_rates, jobs)
        config = build_features({**settings, "sample_rate": rate})
    return config


def automatic_rate(data: Path, rates: Iterable[int], jobs: int = 1) -> int:
    """The highest of `rates` (Hz) whose band the recordings of a data directory fill, else the lowest.

    The bandwidth is measured, not read from headers: the upper band of upsampled or telephone speech is empty.
    """
    results = list(map_processes(_condition, data_directory.read(data), jobs, "bandwidth"))
    readable = [(u, result) for u, result in results if not isinstance(result, DataError)]  # extraction reports others
    chosen = (filled_rate([condition for _, condition in readable], rates) if readable else None) or min(rates)
    text = f"{data}: features.sample_rate {chosen}, the highest up to {max(rates)} Hz whose band the recordings fill"
    higher = next((rate for rate in sorted(rates) if rate > chosen), np.inf)
    narrow = [(u.path, c) for u, c in readable if c.sample_rate < higher or not c.fills(higher)]
    if chosen < max(rates) and narrow:
        path, condition = narrow[0]
        text += f"; too narrow for {higher} Hz: {len(narrow)} of {len(readable)}, such as {escaped(path)}"
        text += f" ({condition.sample_rate} Hz, filled up to {condition.bandwidth / 1000:.1f} kHz)"
    log.info("%s", text)
    return chosen


def _condition(utterance: Utterance) -> Condition:
    return measure(utterance.blocks(), audio.info(utterance.path).sample_rate)


def extract(
    data: Path, output: Path, config: FeatureConfig, jobs: int = 1, ranges: Mapping[str, F0Range] | None = None
) -> Report:
    """Extract features, per-speaker statistics and F0 search ranges.

    Whispered recordings are extracted as well, without F0. Intermediate results are kept in `output`/.work, so that an
    interrupted extraction resumes where it stopped.

    Parameters
    ----------
    data : Path
        A data directory.
    output : Path
        Features directory, created if missing; left alone if it is up to date.
    config : FeatureConfig
        Settings of the analysis.
    jobs : int
        Number of processes.
    ranges : mapping of str to F0Range, optional
        F0 search ranges by speaker id or name; estimated for other speakers.

    Returns
    -------
    Report
        With a line for each recording that could not be used, and one for all whose sample rate is too low.

    Raises
    ------
    DataError
        Nothing could be extracted, the data directory has faults, or `ranges` names an unknown speaker.
    ConfigError
        `config.sample_rate` is above that of all recordings of a speaker.
    """
    if data.resolve() == output.resolve():
        raise ConfigError(f"{output}: is the data directory; give another folder for the features")
    utterances = data_directory.read(data)
    config = config.complete()
    speaker_names = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    searches = {names.resolve(name, speaker_names): f0_range for name, f0_range in (ranges or {}).items()}
    unknown = sorted(searches.keys() - speaker_names.keys())
    if unknown:
        known = names.there_are(dict(sorted(speaker_names.items())), *unknown)
        raise DataError(f"{data}: no speaker {', '.join(unknown)}, for whom an F0 range is given; {known}")
    total, failures, listed = len(utterances), [], {utterance.id for utterance in utterances}
    infos = {}
    for path in {utterance.path for utterance in utterances}:
        with contextlib.suppress(DataError):  # the analysis will raise it again
            infos[path] = audio.info(path)
    utterances = _at_sufficient_rate(utterances, infos, config, failures)
    contents = {path: files.sha256(path) if path.is_file() else None for path in {u.path for u in utterances}}
    identities = {  # what each utterance's features depend on, apart from the settings
        u.id: [u.id, u.speaker, contents[u.path], u.start, u.end, *_reading(u, infos.get(u.path))] for u in utterances
    }

    def origin(ids: Iterable[str]) -> str:
        """Digest of everything that the features of these utterances depend on."""
        limits = {speaker: vars(f0_range) for speaker, f0_range in sorted(searches.items())}
        return digest(REVISION, config, [identities[id] for id in ids], limits)

    with contextlib.suppress(VCError):  # damaged features are extracted again
        features = store.read_features(output)
        if features.digest == origin(identities) and features.signed:
            features.check()
            return Report(len(utterances), total - len(utterances), failures, features.speakers, up_to_date=True)
        _warn_of_replaced(features, config, listed, output)
    files.make_directory(output)
    work = path_inside(output, WORK)
    files.make_directory(work)
    with files.locked(work):
        first_pass = [
            _Task(window, identities[u.id], config, searches.get(u.speaker, WIDEST_RANGE), None, work)
            for u in utterances
            for window in windows_of(u)
        ]
        tracks: dict[str, list[_Recording]] = {}  # by speaker
        for recording in _run(first_pass, jobs, "F0 ranges", failures):
            tracks.setdefault(recording.utterance.speaker, []).append(recording)
        statistics: dict[str, F0Statistics] = {}
        for speaker, recordings in tracks.items():
            f0_tracks = (F0Track(**{name: recording.array(name) for name in TRACK_ARRAYS}) for recording in recordings)
            try:
                statistics[speaker] = f0_statistics(f0_tracks, config.frame_rate, speaker, search=searches.get(speaker))
            except DataError as error:
                failures.append(str(error))
        usable = {recording.utterance.id for speaker in statistics for recording in tracks[speaker]}
        second_pass = [
            replace(task, f0=statistics[task.window.utterance.speaker])
            for task in first_pass
            if task.window.utterance.id in usable
        ]
        recordings = _run(second_pass, jobs, "features", failures)
        if not recordings:
            raise DataError(*failures)
        speakers = {}
        for speaker in sorted({recording.utterance.speaker for recording in recordings}):
            of_speaker = [recording for recording in recordings if recording.utterance.speaker == speaker]
            speakers[speaker] = _summarise(of_speaker, statistics[speaker], config, range_given=speaker in searches)
        rows = ((recording.utterance.id, recording.utterance.speaker, recording) for recording in recordings)
        digests = {recording.utterance.id: recording.digest for recording in recordings}
        store.write_features(output, config, origin(digests), speakers, rows, digests)
        shutil.rmtree(work)
    return Report(len(recordings), total - len(recordings), failures, speakers)


def _warn_of_replaced(features: store.Features, config: FeatureConfig, listed: Collection[str], output: Path) -> None:
    """Warn of features of other settings, and of utterances that the data directory does not list."""
    if features.config.kind != config.kind:
        log.warning("%s: replaces features of kind %s", escaped(output), features.config.kind)
    elif features.config != config:
        changes = difference(features.config, config, "features.")
        log.warning("%s: replaces features of other settings: %s", escaped(output), changes)
    ids = [id for id in features.utterances if id not in listed]
    if ids:
        number = phrases.count(len(ids), "utterance")
        log.warning("%s: drops %s that this data directory does not have, such as %s", escaped(output), number, ids[0])


def _at_sufficient_rate(
    utterances: list[Utterance], infos: Mapping[Path, audio.AudioInfo], config: FeatureConfig, failures: list[str]
) -> list[Utterance]:
    """Drop utterances whose sample rate is too low for the analysis, and report them as one failure.

    If no recording of a speaker would be left, the settings are wrong, not the recordings: ConfigError.
    """
    rates = {path: info.sample_rate for path, info in infos.items()}
    low_paths = {path for path, rate in rates.items() if rate < config.lowest_rate}
    if not low_paths:
        return utterances
    below = [u for u in utterances if u.path in low_paths]
    left = [u for u in utterances if u.path not in low_paths]
    rate = max((rate for rate in SETTINGS if rate <= min(rates.values())), default=None)
    count = f"{len(below)} of {len(utterances)} recordings, such as {below[0].path} at {rates[below[0].path]} Hz"
    if config.cepstral:
        hint = f"--set features.sample_rate={rate} takes all" if rate else f"none below {min(SETTINGS)} Hz can be used"
        message = f"features.sample_rate {config.sample_rate} is above the rate of {count}; {hint}"
    else:
        hint = "features of kind world, as --config nearest has them, take lower rates"
        needed = f"features of kind {config.kind} need {config.lowest_rate} Hz or more"
        message = f"{needed}, above the rate of {count}; {hint}"
    if {u.speaker for u in left} != {u.speaker for u in utterances}:
        raise ConfigError(message)
    failures.append(message)
    return left


def _reading(utterance: Utterance, info: audio.AudioInfo | None) -> list[str]:
    """How an utterance is read, where that has changed: its features of earlier versions are not up to date."""
    reading = ["in windows"] if claims_to_be_long(utterance) else []
    if info and info.format == "MP3":  # decoded with glitches before
        reading.append("MP3 in sequence")
    return reading


@dataclass(frozen=True)
class Window:
    """A part of an utterance, or all of it."""

    utterance: Utterance
    number: int = 0  # from 0
    last: bool = True  # of the utterance

    @property
    def whole(self) -> bool:
        return self.last and self.number == 0


def claims_to_be_long(utterance: Utterance) -> bool:
    """Whether an utterance is long enough for analysis in windows, according to its recording's header."""
    start, end = utterance.span
    if end - start <= LONGEST_WHOLE:
        return False
    try:
        return min(audio.info(utterance.path).seconds, end) - start > LONGEST_WHOLE
    except DataError:  # the analysis will raise it again
        return False


def windows_of(utterance: Utterance) -> list[Window]:
    """The windows of an utterance. A long one is decoded once to count its samples, because headers may be wrong."""
    if not claims_to_be_long(utterance):
        return [Window(utterance)]
    start, end = utterance.span
    seconds = min(audio.count(utterance.path) / audio.info(utterance.path).sample_rate, end) - start
    count = int(seconds // WINDOW) if seconds > LONGEST_WHOLE else 1
    return [Window(utterance, number, number == count - 1) for number in range(count)]


class _Span:
    """The samples of a window with its overlaps, and the frames that are its own, at a given frame rate."""

    def __init__(self, window: Window, frame_rate: float):
        first, after = (round(number * WINDOW * frame_rate) for number in (window.number, window.number + 1))
        overlap = round(OVERLAP * frame_rate)
        before = overlap if window.number else 0
        self.frames = slice(before, None if window.last else before + after - first)
        self.begin = (first - before) / frame_rate  # seconds of the utterance before the first sample
        self.part = window.utterance
        if not window.whole:
            start = self.part.span[0] + first / frame_rate
            end = self.part.end if window.last else start + (after - first) / frame_rate + overlap / frame_rate
            self.part = replace(self.part, start=start - before / frame_rate, end=end)

    def samples(self, rate: int) -> np.ndarray:
        """`(samples,)` at `rate` Hz, including the overlaps; the last window extends to the utterance's end."""
        return audio.resample(*self.part.read(), rate)


TRACK_ARRAYS = tuple(F0Track.__dataclass_fields__)


def track_window(window: Window, config: FeatureConfig, search: F0Range) -> dict[str, np.ndarray]:
    """First pass: track F0 in a window; the arrays of an F0Track by name."""
    span = _Span(window, config.frame_rate)
    track = vars(config.track_f0(span.samples(config.sample_rate), search))
    arrays = {name: values[span.frames] for name, values in track.items()}
    return {**arrays, "times": arrays["times"] + span.begin}


def window_features(window: Window, config: FeatureConfig, f0_range: F0Range | None) -> dict[str, np.ndarray]:
    """Second pass: extract the features of a window; arrays by name, and a digest of its samples."""
    span = _Span(window, config.frame_rate)
    samples = span.samples(config.sample_rate)
    f0, frames = (values[span.frames] for values in config.extract(samples, f0_range))
    if not np.isfinite(frames).all():
        raise DataError(f"{window.utterance.path}: its spectrum is not finite")
    samples_digest = np.frombuffer(hashlib.sha256(samples.tobytes()).digest(), np.uint8)
    arrays = {"frames": frames.astype(np.float32), "f0": f0.astype(np.float32), "samples": samples_digest}
    if config.content is not None:
        span = _Span(window, config.content.frame_rate)
        samples = samples if window.whole else span.samples(config.sample_rate)
        arrays["content"] = config.encode(samples)[span.frames]
    return arrays


@dataclass(frozen=True)
class _Task:
    """The analysis of one window, whose result is kept in a file until all are done."""

    window: Window
    identity: list  # of its utterance
    config: FeatureConfig
    search: F0Range  # of the first pass
    f0: F0Statistics | None  # of the speaker; None in the first pass, which estimates them
    work: Path

    @property
    def file(self) -> Path:
        ending = ".f0.safetensors" if self.f0 is None else ".safetensors"
        return self.work / names.file_name(self.window.utterance.id, f".{self.window.number}{ending}")

    def run(self) -> None:
        """Write the window's arrays, unless an interrupted extraction has written them from the same input."""
        ranges = [self.search] if self.f0 is None else [self.search, self.f0.f0_range]
        source = [self.config, self.identity, self.window.number, self.window.last]
        key = digest(REVISION, *source, [f0_range and vars(f0_range) for f0_range in ranges])
        with contextlib.suppress(ConfigError):
            arrays, origin = tensor_file.read_arrays(self.file)
            if origin == key and self._is_valid(arrays):
                return
        if self.config.content is not None and multiprocessing.parent_process() is not None:
            import torch

            torch.set_num_threads(1)  # the workers already use all cores
        if self.f0 is None:
            arrays = track_window(self.window, self.config, self.search)
        else:
            arrays = window_features(self.window, self.config, self.f0.f0_range)
        tensor_file.write_arrays(self.file, arrays, key)

    def _is_valid(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether arrays from a file have the names and shapes that this task writes."""
        shapes = {name: array.shape for name, array in arrays.items()}
        if self.f0 is None:
            expected = dict.fromkeys(TRACK_ARRAYS, shapes.get("f0", ())[:1])
        else:
            archives = self.config.archives.items()
            expected = {name: (*shapes.get(name, ())[:1], *shape) for name, (_, shape) in archives}
            expected["samples"] = (hashlib.sha256().digest_size,)
            expected["f0"] = expected["frames"][:1]
        return shapes == expected and all(array.size and np.isfinite(array).all() for array in arrays.values())


def _run(tasks: Iterable[_Task], jobs: int, title: str, failures: list[str]) -> list["_Recording"]:
    """Run the tasks; return the recordings without a failed task, and add the first fault of others to `failures`."""
    recordings: dict[str, _Recording] = {}
    failed: set[str] = set()
    for task, fault in map_processes(_Task.run, tasks, jobs, title):
        utterance = task.window.utterance
        recordings.setdefault(utterance.id, _Recording(utterance, [])).files.append(task.file)
        if isinstance(fault, DataError) and utterance.id not in failed:
            failed.add(utterance.id)
            failures.append(str(fault))
    return [recording for id, recording in recordings.items() if id not in failed]


@dataclass(frozen=True)
class _Recording:
    """The arrays of an utterance, in one file for each window."""

    utterance: Utterance
    files: list[Path]

    def __getitem__(self, name: str) -> Iterator[np.ndarray]:
        """The parts of an array, one for each window."""
        return (tensor_file.read_arrays(path)[0][name] for path in self.files)

    def array(self, name: str) -> np.ndarray:
        return np.concatenate(list(self[name]))

    @property
    def digest(self) -> str:
        """Digest of the samples that were analysed."""
        return digest([part.tobytes().hex() for part in self["samples"]])


@dataclass(frozen=True)
class _Parts:
    """One array of many recordings, in parts that are read from disk on every iteration."""

    recordings: list[_Recording]
    name: str

    def __iter__(self) -> Iterator[np.ndarray]:
        return (part for recording in self.recordings for part in recording[self.name])


def _summarise(recordings: list[_Recording], f0: F0Statistics, config: FeatureConfig, *, range_given: bool) -> Speaker:
    """Statistics of a speaker over all their recordings."""
    utterance, frames, masks = recordings[0].utterance, _Parts(recordings, "frames"), []
    levels = [  # a copy of c0 alone, so that the other bands are freed
        [config.to_mel_cepstrum(part)[:, :1].copy() for part in recording["frames"]] for recording in recordings
    ]
    for parts, mask in zip(levels, speech([np.concatenate(parts) for parts in levels])):
        masks += np.split(mask, np.cumsum([len(part) for part in parts])[:-1])
    content = None
    if config.content is not None:
        meter = ContentMeter()
        for vectors, log_mel, mask in zip(_Parts(recordings, "content"), frames, masks):
            meter.add(config.content_at_frames(vectors, len(log_mel)), log_mel, mask)
        content = meter.statistics()
    return summarise(
        utterance.speaker,
        frames,
        f0,
        speech=masks,
        utterances=len(recordings),
        range_given=range_given,
        content=content,
        speaker_name=utterance.speaker_name if names.is_line(utterance.speaker_name) else "",
    )
