"""Converted sets against the target's recordings: figures beside their anchors, with counts and intervals.

Every system is measured on its waveforms by the same analysis, so that copy-synthesis, the target's own recordings
taken apart and put together again, is the floor that no conversion through the vocoder can be expected to pass.
"""

import datetime
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from vc import __version__, phrases
from vc.config import digest, plain
from vc.corpus import audio
from vc.errors import ConfigError, DataError
from vc.evaluate.anchors import (
    ANCHORS,
    REFERENCE,
    UNCONVERTED,
    AnchorSettings,
    Direction,
    copy_synthesis_config,
    find_direction,
    load_converter,
    make_anchors,
    measure_cycle,
)
from vc.evaluate.compare import compare_systems, spread_of_runs
from vc.evaluate.match import Matched, Recordings, Sentence, Side, check_names, match, read_side, recording_names
from vc.evaluate.measure import (
    NO_RECOGNISER,
    MeasureSettings,
    choose_measures,
    measure,
    measure_versions,
    score_systems,
)
from vc.evaluate.results import Evaluation, to_json
from vc.evaluate.verdict import MODEL, judge_cycle, judge_sentences, judge_systems
from vc.features import mel_cepstrum, speech
from vc.features.f0 import WIDEST_RANGE, F0Range, F0Track, f0_statistics
from vc.features.world import WORLD_UNVOICED_F0, WorldConfig
from vc.files import path_inside, write_text
from vc.metrics import distortion, statistics
from vc.metrics.conventions import find_convention, rate_of
from vc.metrics.registry import METRICS
from vc.parallel import map_processes
from vc.train.log import read as read_log

MAX_NAMES = 5  # recordings that a note spells out
ENOUGH = 10  # sentences; with fewer, a note warns
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to measure against what. Each path is a folder of recordings or a data directory of one speaker.

    Raises
    ------
    ConfigError
        For a name of a system that cannot be shown, an unknown convention, or a model without a source.
    """

    converted: Mapping[str, Path]  # by system; `NAME#1`, `NAME#2` are runs of one
    reference: Path  # the target's own recordings
    _: KW_ONLY
    source: Path | None = None  # what was converted; gives the anchor `unconverted`
    model: Path | None = None  # with `source`, gives the anchor `mean_variance`, and the cycle there and back
    other_sentences: bool = False  # the reference's sentences are others, whatever they are called
    match: str | None = None  # regular expression for the part of a name that says the sentence
    measures: Sequence[str] | None = None  # keys of MEASURES; None: those that are installed
    conventions: Sequence[str] = ()  # of metrics.CONVENTIONS
    to: str | None = None  # the target by its name in the model, where no data directory says it
    source_speaker: str | None = None  # the source by its name in the model, likewise

    def __post_init__(self) -> None:
        if not self.converted:
            raise ConfigError("nothing to evaluate: no converted recordings are named")
        check_names(self.converted, (*ANCHORS, "source", MODEL))
        if self.model and not self.source:
            raise ConfigError("--model needs --source: the anchor mean_variance is made of the source's recordings")
        for name in self.conventions:
            find_convention(name)

    @property
    def folders(self) -> dict[str, Path]:
        """Side -> folder."""
        return {**self.converted, **({"source": self.source} if self.source else {}), "reference": self.reference}


@dataclass
class Stages:
    """What the stages share. A sentence that fails in one stage is left out of all, so that systems stay comparable."""

    recordings: dict[str, Recordings]  # by system, `reference` among them; the anchors are added
    jobs: int
    texts: dict[str, str]  # sentence -> transcript, where that is known
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # sentence -> line

    def note(self, *texts: str) -> None:
        for text in texts:
            log.warning(text)
            self.notes.append(text)

    def remaining(self) -> dict[str, Recordings]:
        """The recordings of sentences that have not failed: the converted systems, then the anchors in their order."""
        converted = [system for system in self.recordings if system not in ANCHORS]
        systems = converted + [anchor for anchor in ANCHORS if anchor in self.recordings]
        remaining = {
            system: {name: own for name, own in self.recordings[system].items() if name not in self.failed}
            for system in systems
        }
        if not all(remaining.values()):
            raise DataError(*self.failed.values())
        return remaining

    def run(self, work: Callable[[Sentence], Any], title: str, *, jobs: int | None = None) -> dict[str, Any]:
        """Sentence -> `work(sentence)`, without the sentences that fail."""
        by_sentence: dict[str, Recordings] = {}
        for system, own in self.remaining().items():
            for name, utterance in own.items():
                by_sentence.setdefault(name, {})[system] = utterance
        log.info("%s, %s", title, phrases.count(len(by_sentence), "sentence"))
        sentences = [Sentence(name, own, self.texts.get(name)) for name, own in by_sentence.items()]
        results = {}
        for sentence, result in map_processes(work, sentences, jobs or self.jobs, title.partition(",")[0]):
            if isinstance(result, DataError):
                self.failed[sentence.name] = f"{sentence.name}: {result}"
            results[sentence.name] = result
        self.remaining()
        return {name: result for name, result in results.items() if name not in self.failed}


def evaluate(request: Request, output: Path, *, jobs: int = 1) -> Evaluation:
    """Measure converted recordings against the target's.

    Parameters
    ----------
    request : Request
        What to measure.
    output : Path
        Folder for metrics.json, and for the anchors' recordings in `anchors`.
    jobs : int
        Processes.

    Returns
    -------
    Evaluation
        Also written to metrics.json.

    Raises
    ------
    ConfigError
        If a folder lies among the anchors, a measure is missing, or the model does not fit.
    DataError
        If no sentence can be measured.
    """
    # The recordings of every side, matched by sentence
    folder = output / "anchors"
    for path in request.folders.values():
        if path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{path}: lies in {folder}, which is written anew; choose another --output")
    sides = {name: read_side(path, exclude=folder) for name, path in request.folders.items()}
    matched = match(sides, other_sentences=request.other_sentences, pattern=request.match)
    direction = None
    if request.model:
        load_converter.cache_clear()  # an earlier evaluation of this process may have read what has changed since
        direction = find_direction(
            request.model,
            source=request.source_speaker or (sides["source"].speaker if "source" in sides else None),
            target=request.to or sides[REFERENCE].speaker,
        )
    texts: dict[str, str] = {}  # from the first side that has one
    for name, own in matched.recordings.items():
        transcripts = sides[name].texts
        texts = {sentence: transcripts[each.id] for sentence, each in own.items() if each.id in transcripts} | texts
    recordings = {UNCONVERTED if side == "source" else side: own for side, own in matched.recordings.items()}
    stages = Stages(recordings, jobs, texts)
    measures, left_out = choose_measures(request.measures)
    stages.note(*_notes(request, sides, matched, direction, [line for line in left_out if line != NO_RECOGNISER]))
    stages.notes += [line for line in left_out if line == NO_RECOGNISER]  # no warning: nothing is missing

    # One sample rate for all, F0 ranges, anchors
    systems = list(request.converted)
    rates = stages.run(find_sample_rates, "reading sample rates", jobs=1)
    config = common_config(rates, systems, direction, stages)
    ranges = find_f0_ranges(list(stages.remaining()), config, stages)
    anchor_settings = AnchorSettings(folder, copy_synthesis_config(direction, config), ranges[REFERENCE], direction)
    for name in anchor_settings.names:
        path_inside(folder, name).mkdir(parents=True, exist_ok=True)
    anchors = stages.run(partial(make_anchors, settings=anchor_settings), "making anchors")
    for name in anchor_settings.names:
        stages.recordings[name] = {sentence: each[name] for sentence, each in anchors.items() if name in each}
    ranges |= find_f0_ranges(anchor_settings.names, config, stages)

    # Every recording by itself and beside the others of its sentence
    conventions = {name: rate_of(name, config.sample_rate) for name in request.conventions}
    stages.note(
        *(
            f"{name} compares at {rate} Hz or more: recordings at {config.sample_rate} Hz were brought to that, and"
            " have nothing above"
            for name, rate in conventions.items()
            if rate > config.sample_rate
        )
    )
    mixed_rates = len({rate for each in rates.values() for rate in each.values()}) > 1
    settings = MeasureSettings(config, ranges, measures, conventions, mixed_rates)
    title = f"measuring, with speech models: {', '.join(measures)}" if measures else "measuring"
    measured = stages.run(partial(measure, settings=settings), title)
    recordings = stages.remaining()
    remarks: dict[tuple[str, str], list[str]] = {}
    for system, own in recordings.items():
        for sentence in own:
            for remark in measured[sentence][system].remarks:
                remarks.setdefault((system, remark), []).append(sentence)
    stages.note(*(f"{system}: {remark} ({_listed(names)})" for (system, remark), names in remarks.items()))

    # The sets, and what their figures say
    log.info("comparing the sets")
    scores = score_systems(recordings, measured, parallel=matched.parallel)
    comparisons = compare_systems(scores, systems)
    cycle = None
    if direction:
        cycle = measure_cycle(load_converter(direction.model), list(recordings[UNCONVERTED].values()), direction)
    verdicts = judge_systems(scores, systems, comparisons)
    contents = [
        [measured[name][side].observation.content for name in recordings.get(side, ())]
        for side in (UNCONVERTED, REFERENCE)
    ]
    if all(map(all, contents)) and (finding := judge_sentences(*contents, parallel=matched.parallel)):
        verdicts = {system: [finding, *findings] for system, findings in verdicts.items()}
    if cycle:
        verdicts[MODEL] = [judge_cycle(cycle)]

    source = _speaker_name(sides.get("source"), direction and direction.source)
    target = _speaker_name(sides[REFERENCE], direction and direction.target)
    evaluation = Evaluation(
        title=f"{source} to {target}" if source else f"to {target}",
        source=source,
        target=target,
        recording_names=recording_names(
            next(iter(recordings.values())),
            [recordings[side] for side in (UNCONVERTED, REFERENCE) if side in recordings],
        ),
        texts=texts,
        systems=systems,
        parallel=matched.parallel,
        scores=scores,
        comparisons=comparisons,
        verdicts=verdicts,
        cycle=cycle,
        training=read_log(request.model if request.model.is_dir() else request.model.parent) if request.model else [],
        runs=spread_of_runs(scores, systems),
        recordings=recordings,
        f0={system: {name: measured[name][system].f0 for name in own} for system, own in recordings.items()},
        configuration=configuration(settings, request, direction, has_texts=bool(texts)),
        counts={
            "utterances": len(next(iter(recordings.values()))),
            **{name: len(side.recordings) for name, side in sides.items()},
            "unmatched": sum(map(len, matched.left_over.values())),
            "failed": len(stages.failed),
        },
        unmatched=matched.left_over,
        failures=list(stages.failed.values()),
        notes=stages.notes,
    )
    write_text(output / "metrics.json", json.dumps(to_json(evaluation), indent=1, allow_nan=False) + "\n")
    return evaluation


def find_sample_rates(sentence: Sentence) -> dict[str, int]:
    """System -> Hz."""
    return {system: audio.info(utterance.path).sample_rate for system, utterance in sentence.recordings.items()}


def common_config(
    rates: Mapping[str, Mapping[str, int]], systems: Sequence[str], direction: Direction | None, stages: Stages
) -> WorldConfig:
    """Analysis at the highest rate that has settings and that no recording lies below.

    Its settings do not follow a model's, and where nothing is voiced its window is WORLD's own, so that distortions can
    be compared from one model to another.

    Parameters
    ----------
    rates : dict
        Sentence -> system -> Hz.
    systems : sequence of str
        Names of the converted ones.
    direction : Direction or None
        Of the model, whose rate counts too.
    stages : Stages
        For a note, if the converted recordings have a higher rate.

    Raises
    ------
    DataError
        If recordings of one system differ in rate, or one lies below all settings.
    """
    for system in systems:
        own = {each[system]: sentence for sentence, each in rates.items() if system in each}
        if len(own) > 1:
            examples = ", ".join(f"{sentence} has {rate} Hz" for rate, sentence in sorted(own.items()))
            raise DataError(f"the recordings of {system} differ in sample rate: {examples}")
    lowest = min(rate for each in rates.values() for rate in each.values())
    if direction:
        lowest = min(lowest, direction.sample_rate)
    usable = [rate for rate in mel_cepstrum.SETTINGS if rate <= lowest]
    if not usable:
        raise DataError(f"a recording at {lowest} Hz is below {min(mel_cepstrum.SETTINGS)} Hz, the lowest measured")
    higher = {rate for each in rates.values() for system in systems if (rate := each.get(system, 0)) > max(usable)}
    if higher:
        stages.note(f"measured at {max(usable)} Hz; the converted recordings have {max(higher)} Hz")
    return WorldConfig(max(usable), unvoiced_f0=WORLD_UNVOICED_F0)


def find_f0_ranges(systems: Sequence[str], config: WorldConfig, stages: Stages) -> dict[str, F0Range | None]:
    """System -> F0 search range, from its own recordings; None without F0, a wide one where no voice is found."""
    work = partial(find_tracks, systems=systems, config=config)
    tracks = stages.run(work, "finding F0 ranges")
    ranges = {}
    for system in systems:
        try:
            own = (each[system] for each in tracks.values() if system in each)
            ranges[system] = f0_statistics(own, config.frame_rate, system).f0_range
            if ranges[system] is None:
                stages.note(f"{system}: its recordings have no F0, as whispered ones")
        except DataError as error:
            ranges[system] = WIDEST_RANGE
            stages.note(f"{error}; searched {WIDEST_RANGE.floor:g} to {WIDEST_RANGE.ceiling:g} Hz")
    return ranges


def find_tracks(sentence: Sentence, systems: Sequence[str], config: WorldConfig) -> dict[str, F0Track]:
    """System -> F0 by the first pass; silence is refused."""
    tracks = {}
    for system in sentence.recordings.keys() & set(systems):
        utterance = sentence.recordings[system]
        samples, _ = utterance.read(config.sample_rate)
        if not samples.any():
            raise DataError(f"{utterance.path}: nothing but silence")
        tracks[system] = config.track_f0(samples)
    return tracks


def configuration(
    settings: MeasureSettings, request: Request, direction: Direction | None, *, has_texts: bool
) -> dict[str, Any]:
    """All that the figures depend on, units in the names. The digest is that of the settings, not of the folders."""
    config = settings.config
    content = {
        "vc_version": __version__,
        "sample_rate_hz": config.sample_rate,
        "frame_shift_ms": config.frame_shift,
        "fft_samples": config.fft_size,
        "mel_cepstrum_order": config.order,
        "all_pass_constant": config.warping,
        "f0_method": config.f0_method,
        "unvoiced_f0_hz": config.unvoiced_f0,
        "copy_synthesis": plain(copy_synthesis_config(direction, config)),
        "f0_ranges_hz": {name: each and [each.floor, each.ceiling] for name, each in settings.ranges.items()},
        "speech": "frames whose c0 is within dynamic_range_db of the loudest frame's, on each side",
        "dynamic_range_db": speech.DYNAMIC_RANGE,
        "path": "exact DTW on c1..D of the speech frames, Euclidean, steps (1, 1), (1, 0), (0, 1) of weight 1",
        "modulation_fft_frames": distortion.MODULATION_FFT,
        "highest_modulation_hz": distortion.HIGHEST_MODULATION,
        "measures": list(settings.measures),
        "measure_packages": measure_versions(settings.measures),
        "expected_phones": "of the text where one can be read, else those heard in the source's recording"
        if has_texts
        else "heard in the source's recording, or without one in the target's",
        "convention_sample_rates_hz": dict(settings.conventions),
        "intervals": f"{statistics.CONFIDENCE:.0%} over sentences: of means by {statistics.RESAMPLES} bootstrap"
        f" resamples, of sets' figures by a jackknife of up to {statistics.MAX_GROUPS} groups",
        "seed": statistics.SEED,
        "metrics": {name: metric.definition for name, metric in METRICS.items()},
        "sources": {name: metric.source for name, metric in METRICS.items() if metric.source},
        "units": {name: metric.unit or "plain number" for name, metric in METRICS.items()},
    }
    return {
        **content,
        "summary": f"WORLD at {config.sample_rate} Hz, {config.frame_shift:g} ms; mel-cepstrum of order {config.order},"
        f" all-pass {config.warping}, c0 left out; frames within {speech.DYNAMIC_RANGE:g} dB of the loudest; exact DTW;"
        f" F0 by {config.f0_method}",
        "digest": digest(content),
        "folders": {
            "systems": {name: str(folder.absolute()) for name, folder in request.converted.items()},
            "reference": str(request.reference.absolute()),
            "source": request.source and str(request.source.absolute()),
        },
        "model": {"file": str(direction.model), "source": direction.source, "target": direction.target}
        if direction
        else None,
        "date": datetime.date.today().isoformat(),
    }


def _notes(
    request: Request, sides: Mapping[str, Side], matched: Matched, direction: Direction | None, left_out: Sequence[str]
) -> list[str]:
    """What a reader must know before the figures; `left_out` are the notes of the measures."""
    notes = []
    count = len(next(iter(matched.recordings.values())))
    if count < ENOUGH:
        notes.append(f"only {count} sentence{'s' * (count > 1)}: figures, intervals and verdicts are rough")
    if request.source is None:
        notes.append("no source was given: figures that need it, and the source as it is, are left out")
    elif request.model is None:
        notes.append("no model is given: how good means and variances alone would be is left out")
    named = (
        request.to,
        request.source_speaker,
        *(side.speaker for side in (sides.get("source"), sides[REFERENCE]) if side),
    )
    if direction and not any(named):
        pair = f"{direction.source or 'anyone'} to {direction.target}"
        notes.append(f"taken for {pair}, the model's first way, for neither speaker's name is given")
    notes += left_out
    if not matched.parallel:
        converted, reference = (
            next(iter(matched.recordings[side])) for side in (next(iter(request.converted)), REFERENCE)
        )
        notes.append(
            f"the reference says other sentences ({reference!r}, not {converted!r}): what compares sentences is left"
            " out, distances between the sets are measured"
        )
    notes += [
        f"{side}: {len(names)} left over without a match: {_listed(names)}"
        for side, names in matched.left_over.items()
        if names
    ]
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _speaker_name(side: Side | None, named_by_model: str | None) -> str:
    """A speaker's name: of a plain folder the model's, if there is one; empty where there is no side."""
    if side is None:
        return ""
    return (side.speaker is None and named_by_model) or side.speaker_name
