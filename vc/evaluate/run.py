"""The evaluation of converted recordings, from their folders to metrics.json.

Every system's waveforms go through the same analysis, so that copy-synthesis, the target's own recordings analysed and
resynthesised, is the limit that no conversion through the vocoder can be expected to beat.
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
from vc.evaluate.match import (
    ANCHORS_FOLDER,
    RESULTS,
    Match,
    Recordings,
    Sentence,
    Side,
    check_names,
    match,
    read_side,
    recording_names,
)
from vc.evaluate.measure import (
    NO_OWN_MODELS,
    Measurement,
    MeasureSettings,
    choose_measures,
    measure,
    measure_versions,
    score_systems,
)
from vc.evaluate.results import Evaluation, to_json
from vc.evaluate.score_cache import KINDS
from vc.evaluate.verdict import MODEL, judge_cycle, judge_sentences, judge_systems
from vc.features import mel_cepstrum, speech
from vc.features.f0 import WIDEST_RANGE, F0Range, F0Track, f0_statistics
from vc.features.world import WORLD_UNVOICED_F0, WorldConfig
from vc.files import path_inside, write_text
from vc.metrics import distortion, statistics
from vc.metrics.conventions import find_convention, rate_of
from vc.metrics.registry import METRICS
from vc.parallel import ProcessPool
from vc.train.log import read as read_log

MAX_NAMES = 5  # names listed in a note
ENOUGH_SENTENCES = 10  # with fewer, a note warns
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """The sides of an evaluation. Each path is a folder of recordings or a data directory of one speaker.

    Raises
    ------
    ConfigError
        If a system cannot have its name, a convention is unknown, or a model is given without a source.
    """

    converted: Mapping[str, Path]  # by system; `NAME#1`, `NAME#2` are runs of one system
    reference: Path  # the target's own recordings
    _: KW_ONLY
    source: Path | None = None  # the unconverted recordings, for the anchor `unconverted`
    model: Path | None = None  # for the anchor `mean_variance` and the model's cycle; needs `source`
    other_sentences: bool = False  # whether the reference has other sentences, whatever their names
    match: str | None = None  # regular expression for the part of a name that identifies the sentence
    measures: Sequence[str] | None = None  # keys of MEASURES; None: those that are installed
    conventions: Sequence[str] = ()  # of metrics.CONVENTIONS
    to: str | None = None  # the target's name in the model, if the reference is not a data directory
    source_speaker: str | None = None  # the source's name in the model, likewise
    cache: Path | None = None  # folder in which the speech models' results are kept

    def __post_init__(self) -> None:
        if not self.converted:
            raise ConfigError("nothing to evaluate: no converted recordings were given")
        check_names(self.converted, (*ANCHORS, "source", MODEL))
        if self.model and not self.source:
            raise ConfigError("--model needs --source: the anchor mean_variance is made from the source's recordings")
        for name in self.conventions:
            find_convention(name)

    @property
    def folders(self) -> dict[str, Path]:
        """The folder of each side."""
        return {**self.converted, **({"source": self.source} if self.source else {}), "reference": self.reference}


@dataclass
class Stages:
    """State shared by the stages. A sentence that fails in one is left out of all, so that systems stay comparable."""

    recordings: dict[str, Recordings]  # system -> recordings, with `reference`; the anchors are added later
    pool: ProcessPool
    texts: dict[str, str]  # sentence -> transcript, if known
    notes: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)  # sentence -> error message

    def note(self, *texts: str) -> None:
        """Log notes as warnings, and keep them for the report."""
        for text in texts:
            log.warning(text)
            self.notes.append(text)

    def remaining(self) -> dict[str, Recordings]:
        """The recordings of the sentences that have not failed, of the converted systems and then of the anchors.

        Raises
        ------
        DataError
            If no sentence remains.
        """
        converted = [system for system in self.recordings if system not in ANCHORS]
        systems = converted + [anchor for anchor in ANCHORS if anchor in self.recordings]
        remaining = {
            system: {name: recording for name, recording in self.recordings[system].items() if name not in self.failed}
            for system in systems
        }
        if not all(remaining.values()):
            raise DataError(*self.failed.values())
        return remaining

    def run(self, work: Callable[[Sentence], Any], title: str, *, here: bool = False) -> dict[str, Any]:
        """Apply `work` to every remaining sentence in parallel.

        Parameters
        ----------
        work : callable
            From a sentence to its result; a DataError marks the sentence as failed.
        title : str
            For the log.
        here : bool
            Whether to work in this process alone.

        Returns
        -------
        dict
            Sentence -> result, without the sentences that failed.

        Raises
        ------
        DataError
            If every sentence failed.
        """
        by_sentence: dict[str, Recordings] = {}
        for system, recordings in self.remaining().items():
            for name, utterance in recordings.items():
                by_sentence.setdefault(name, {})[system] = utterance
        log.info("%s, %s", title, phrases.count(len(by_sentence), "sentence"))
        sentences = [Sentence(name, recordings, self.texts.get(name)) for name, recordings in by_sentence.items()]
        results = {}
        for sentence, result in self.pool.map(work, sentences, title.partition(",")[0], here=here):
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
        If a folder lies in the anchors' folder, a measure is not available, or the model lacks a speaker.
    DataError
        If no sentence can be measured.
    """
    # The recordings of every side, matched by sentence
    folder = output / ANCHORS_FOLDER
    for path in request.folders.values():
        if path.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"{path}: lies in {folder}, which is overwritten; choose another --output")
    sides = {name: read_side(path, exclude=folder) for name, path in request.folders.items()}
    matched = match(sides, other_sentences=request.other_sentences, pattern=request.match)
    direction = None
    if request.model:
        load_converter.cache_clear()  # the file may have changed since an earlier evaluation in this process
        direction = find_direction(
            request.model,
            source=request.source_speaker or (sides["source"].speaker if "source" in sides else None),
            target=request.to or sides[REFERENCE].speaker,
        )
    texts: dict[str, str] = {}  # from the first side that has one
    for side, side_recordings in matched.recordings.items():
        transcripts = sides[side].texts
        ids = {sentence: utterance.id for sentence, utterance in side_recordings.items()}
        texts = {sentence: transcripts[id] for sentence, id in ids.items() if id in transcripts} | texts
    recordings = {UNCONVERTED if name == "source" else name: side for name, side in matched.recordings.items()}
    sentences = set().union(*recordings.values())
    measures, left_out = choose_measures(request.measures)

    # Every recording by itself, and compared with others of its sentence
    systems = list(request.converted)
    with ProcessPool(min(jobs, len(sentences))) as pool:
        stages = Stages(recordings, pool, texts)
        stages.note(*_notes(request, sides, matched, direction, [line for line in left_out if line != NO_OWN_MODELS]))
        stages.notes += [line for line in left_out if line == NO_OWN_MODELS]  # no warning: nothing is missing
        settings, measured = measure_recordings(stages, request, direction, folder, measures)
    recordings = stages.remaining()

    # Scores of the sets, and findings
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
        f0={system: {name: measured[name][system].f0 for name in names} for system, names in recordings.items()},
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
    write_text(output / RESULTS, json.dumps(to_json(evaluation), indent=1, allow_nan=False) + "\n")
    return evaluation


def measure_recordings(
    stages: Stages, request: Request, direction: Direction | None, folder: Path, measures: Sequence[str]
) -> tuple[MeasureSettings, dict[str, dict[str, Measurement]]]:
    """Make the anchors, and measure all recordings at a common sample rate.

    Parameters
    ----------
    stages : Stages
        The recordings, to which the anchors are added; takes notes.
    request : Request
        For its systems, conventions and cache.
    direction : Direction or None
        Of the model.
    folder : Path
        For the anchors.
    measures : sequence of str
        From `choose_measures`.

    Returns
    -------
    MeasureSettings
    dict
        Sentence -> system -> measurement.

    Raises
    ------
    DataError
        If no sentence can be measured.
    """
    systems = list(request.converted)
    rates = stages.run(find_sample_rates, "reading sample rates", here=True)
    config = common_config(rates, systems, direction, stages)
    ranges = find_f0_ranges(list(stages.remaining()), config, stages)
    anchor_settings = AnchorSettings(folder, copy_synthesis_config(direction, config), ranges[REFERENCE], direction)
    for name in anchor_settings.names:
        path_inside(folder, name).mkdir(parents=True, exist_ok=True)
    anchors = stages.run(partial(make_anchors, settings=anchor_settings), "making anchors")
    for name in anchor_settings.names:
        stages.recordings[name] = {sentence: written[name] for sentence, written in anchors.items() if name in written}
    ranges |= find_f0_ranges(anchor_settings.names, config, stages)

    conventions = {name: rate_of(name, config.sample_rate) for name in request.conventions}
    stages.note(
        *(
            f"{name} compares at {rate} Hz or more: recordings at {config.sample_rate} Hz were resampled to that and"
            " lack the upper band"
            for name, rate in conventions.items()
            if rate > config.sample_rate
        )
    )
    mixed_rates = len({rate for by_system in rates.values() for rate in by_system.values()}) > 1
    settings = MeasureSettings(config, ranges, measures, conventions, mixed_rates, request.cache)
    title = f"measuring, with speech models: {', '.join(measures)}" if measures else "measuring"
    measured = stages.run(partial(measure, settings=settings), title)
    remarks: dict[tuple[str, str], list[str]] = {}
    for system, sentences in stages.remaining().items():
        for sentence in sentences:
            for remark in measured[sentence][system].remarks:
                remarks.setdefault((system, remark), []).append(sentence)
    stages.note(*(f"{system}: {remark} ({_listed(names)})" for (system, remark), names in remarks.items()))
    return settings, measured


def find_sample_rates(sentence: Sentence) -> dict[str, int]:
    """Sample rate in Hz of each system's recording of a sentence."""
    return {system: audio.info(utterance.path).sample_rate for system, utterance in sentence.recordings.items()}


def common_config(
    rates: Mapping[str, Mapping[str, int]], systems: Sequence[str], direction: Direction | None, stages: Stages
) -> WorldConfig:
    """Settings of the analysis, at the highest supported rate that no recording is below.

    They do not depend on a model's features, and unvoiced frames are analysed with WORLD's default window, so that
    distortions can be compared between models.

    Parameters
    ----------
    rates : dict
        Sentence -> system -> Hz.
    systems : sequence of str
        Names of the converted ones.
    direction : Direction or None
        Of the model, whose rate is taken into account too.
    stages : Stages
        Takes a note if the converted recordings have a higher rate.

    Returns
    -------
    WorldConfig

    Raises
    ------
    DataError
        If recordings of one system differ in rate, or a rate is below all supported ones.
    """
    for system in systems:
        by_rate = {rates[sentence][system]: sentence for sentence in rates if system in rates[sentence]}
        if len(by_rate) > 1:
            examples = ", ".join(f"{sentence} has {rate} Hz" for rate, sentence in sorted(by_rate.items()))
            raise DataError(f"the recordings of {system} differ in sample rate: {examples}")
    lowest = min(rate for by_system in rates.values() for rate in by_system.values())
    if direction:
        lowest = min(lowest, direction.sample_rate)
    usable = [rate for rate in mel_cepstrum.SETTINGS if rate <= lowest]
    if not usable:
        raise DataError(f"a recording at {lowest} Hz is below {min(mel_cepstrum.SETTINGS)} Hz, the lowest supported")
    converted_rates = {by_system[system] for by_system in rates.values() for system in systems if system in by_system}
    higher = {rate for rate in converted_rates if rate > max(usable)}
    if higher:
        stages.note(f"measured at {max(usable)} Hz; the converted recordings have {max(higher)} Hz")
    return WorldConfig(max(usable), unvoiced_f0=WORLD_UNVOICED_F0)


def find_f0_ranges(systems: Sequence[str], config: WorldConfig, stages: Stages) -> dict[str, F0Range | None]:
    """Estimate the F0 search range of each system from its recordings.

    Returns
    -------
    dict
        System -> range; None for speech without F0, the widest range if no voice is found.
    """
    work = partial(find_tracks, systems=systems, config=config)
    tracks = stages.run(work, "finding F0 ranges")
    ranges = {}
    for system in systems:
        try:
            of_system = (by_system[system] for by_system in tracks.values() if system in by_system)
            ranges[system] = f0_statistics(of_system, config.frame_rate, system).f0_range
            if ranges[system] is None:
                stages.note(f"{system}: its recordings have no F0, as in whispered speech")
        except DataError as error:
            ranges[system] = WIDEST_RANGE
            stages.note(f"{error}; searched {WIDEST_RANGE.floor:g} to {WIDEST_RANGE.ceiling:g} Hz")
    return ranges


def find_tracks(sentence: Sentence, systems: Sequence[str], config: WorldConfig) -> dict[str, F0Track]:
    """First-pass F0 tracks of a sentence's recordings, by system.

    Raises
    ------
    DataError
        If a recording is silent.
    """
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
    """All settings on which the figures depend, with units in their names; the digest covers them, not the folders."""
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
        "f0_ranges_hz": {name: f0 and [f0.floor, f0.ceiling] for name, f0 in settings.ranges.items()},
        "speech": "frames whose c0 is within dynamic_range_db of the loudest frame's, on each side",
        "dynamic_range_db": speech.DYNAMIC_RANGE,
        "path": "exact DTW on c1..D of the speech frames, Euclidean, steps (1, 1), (1, 0), (0, 1) of weight 1",
        "modulation_fft_frames": distortion.MODULATION_FFT,
        "highest_modulation_hz": distortion.HIGHEST_MODULATION,
        "measures": list(settings.measures),
        "measure_packages": measure_versions(settings.measures),
        "expected_phones": "those of the text if it is usable, else those recognised in the source's recording"
        if has_texts
        else "those recognised in the source's recording or, without a source, in the target's",
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
        **({"cached_measures": [*KINDS]} if settings.cache else {}),
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
    request: Request, sides: Mapping[str, Side], matched: Match, direction: Direction | None, left_out: Sequence[str]
) -> list[str]:
    """Notes to read before the figures; `left_out` are those on measures."""
    notes = []
    count = len(next(iter(matched.recordings.values())))
    if count < ENOUGH_SENTENCES:
        notes.append(f"only {count} sentence{'s' * (count > 1)}: figures, intervals and verdicts are rough")
    if request.source is None:
        notes.append("no source was given: the unconverted source and figures that need it are left out")
    elif request.model is None:
        notes.append("no model was given: the comparison with means and variances alone is left out")
    names = (
        request.to,
        request.source_speaker,
        *(side.speaker for side in (sides.get("source"), sides[REFERENCE]) if side),
    )
    if direction and not any(names):
        pair = f"{direction.source or 'any speaker'} to {direction.target}"
        notes.append(f"assumed to be {pair}, the model's first direction, since no speaker was named")
    notes += left_out
    if not matched.parallel:
        converted, reference = (
            next(iter(matched.recordings[side])) for side in (next(iter(request.converted)), REFERENCE)
        )
        notes.append(
            f"the reference has other sentences ({reference!r}, not {converted!r}): measures that compare sentences are"
            " left out, distances between the sets are measured"
        )
    notes += [
        f"{side}: {len(unmatched)} without a match: {_listed(unmatched)}"
        for side, unmatched in matched.left_over.items()
        if unmatched
    ]
    return notes


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more


def _speaker_name(side: Side | None, name_in_model: str | None) -> str:
    """The name of a side's speaker; for a plain folder the model's name, if there is a model; empty without a side."""
    if side is None:
        return ""
    return (side.speaker is None and name_in_model) or side.speaker_name
