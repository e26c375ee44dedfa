"""What an evaluation found: as data, as JSON, and as a table for the terminal."""

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vc import __version__
from vc.config import digest, plain
from vc.evaluate.anchors import Direction, copied_by
from vc.evaluate.cycle import Cycle
from vc.evaluate.headline import Part, headline, written
from vc.evaluate.hearing import versions
from vc.evaluate.match import Recordings
from vc.evaluate.measure import REFERENCE, Settings, says_source
from vc.evaluate.request import Request
from vc.evaluate.statistics import Spread, SystemComparison
from vc.evaluate.verdict import Finding
from vc.features import speech
from vc.features.world import WorldConfig
from vc.metrics import distortion, intervals
from vc.metrics.registry import METRICS
from vc.metrics.scores import Scores

LOPSIDED = 1.5  # times as long as the other side of an interval, from where one half of it misleads


@dataclass(frozen=True)
class Evaluation:
    """Figures of the converted sets and of their anchors, and what a report needs to show and play them."""

    title: str
    source: str  # what people call the source, empty where nothing tells
    target: str
    called: dict[str, str]  # sentence -> the name of its recording before it got an id
    texts: dict[str, str]  # sentence -> what it says, where that is known
    systems: list[str]  # the converted ones; the first is the one that metrics.json is about
    parallel: bool  # whether the target's recordings say the same sentences
    scores: dict[str, Scores]  # the converted systems first, then the anchors; rows go along `recordings`
    comparisons: list[SystemComparison]
    verdicts: dict[str, list[Finding]]  # converted system, or MODEL -> what its figures say
    cycle: Cycle | None  # of the model, there and back
    training: list[dict[str, Any]]  # the lines of the model's log.jsonl
    runs: dict[str, dict[str, Spread]]  # system -> metric -> spread, where there are several runs
    recordings: dict[str, Recordings]  # of each system, those that were measured
    f0: dict[str, dict[str, np.ndarray]]  # the same, by sentence: (frames,) Hz
    configuration: dict[str, Any]
    counts: dict[str, int]
    unmatched: dict[str, list[str]]  # side -> names
    failures: list[str]  # one line each
    notes: list[str]  # what a reader must know: what is left out, what was decided

    @property
    def sentences(self) -> list[str]:
        return list(self.recordings[self.systems[0]])

    @property
    def metrics(self) -> list[str]:
        """Those that at least one system has a figure of; phone error added to a source that has none tells nothing."""
        figures = {name: [each.means[name] for each in self.scores.values()] for name in METRICS}
        known = [name for name in METRICS if any(map(math.isfinite, figures[name]))]
        if _repeats(figures["phone_error_added"], figures["phone_error"]):
            known = [name for name in known if name != "phone_error_added"]
        return known

    def headline(self, system: str) -> list[Part]:
        """What is said of a converted system in one sentence."""
        return headline(self.verdicts[system], self.scores[system], self.scores[REFERENCE], self.target)


def _repeats(figures: Sequence[float], others: Sequence[float]) -> bool:
    """Whether figures are the others wherever there are such."""
    return all(one == other for one, other in zip(figures, others, strict=True) if math.isfinite(one))


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The content of metrics.json: strict JSON, null for what cannot be told.

    The first system's figures stand at the top, every system's under `systems` and `anchors`.
    """
    figures = {name: {**scores.means, "intervals": scores.intervals} for name, scores in evaluation.scores.items()}
    systems = {name: figures.pop(name) for name in evaluation.systems}
    shown = ("title", "source", "target", "parallel", "counts", "configuration", "notes", "failures", "unmatched")
    content = {
        **systems[evaluation.systems[0]],
        "headlines": {system: written(evaluation.headline(system)) for system in evaluation.systems},
        "systems": systems,
        "anchors": figures,
        "runs": {system: {name: vars(each) for name, each in of.items()} for system, of in evaluation.runs.items()},
        "verdicts": {system: [each._asdict() for each in found] for system, found in evaluation.verdicts.items()},
        "cycle": evaluation.cycle and evaluation.cycle._asdict(),
        "comparisons": [_comparison(each) for each in evaluation.comparisons],
        **{name: getattr(evaluation, name) for name in shown},
    }
    of_source = {name for name in evaluation.scores if evaluation.parallel or says_source(name)}
    content["utterances"] = [
        {
            "sentence": sentence,
            "recording": evaluation.called[sentence],
            **evaluation.scores[evaluation.systems[0]].rows[index],
            "systems": {name: evaluation.scores[name].rows[index] for name in systems},
            "anchors": {name: evaluation.scores[name].rows[index] for name in figures if name in of_source},
        }
        for index, sentence in enumerate(evaluation.sentences)
    ]
    return _strict(content)


def _comparison(compared: SystemComparison) -> dict[str, Any]:
    names = {"metric": compared.metric, "one": compared.one, "other": compared.other}
    return {**names, **vars(compared.found), "p_holm": compared.p_holm}


def format_table(evaluation: Evaluation) -> str:
    """A line a metric and a column a system, with 95 % intervals; verdicts; settings."""
    lines = [["", *evaluation.scores]]
    for name in evaluation.metrics:
        unit = METRICS[name].unit
        label = f"{name} [{unit}]" if unit else name
        lines.append([label, *(_cell(scores, name) for scores in evaluation.scores.values())])
    widths = [max(map(len, column)) for column in zip(*lines)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    count = len(evaluation.sentences)
    heading = f"{evaluation.title}, {count} sentence{'s' * (count > 1)}, ± half of the 95 % interval, or its ends"
    summary = evaluation.configuration["summary"]
    return "\n".join([heading, *table, *_verdict_lines(evaluation), summary, *_headlines(evaluation)])


def _verdict_lines(evaluation: Evaluation) -> list[str]:
    several = len(evaluation.systems) > 1
    return [
        f"{system + ': ' if several else ''}{finding.aspect}, {finding.grade}: {finding.text}"
        for system, found in evaluation.verdicts.items()
        for finding in found
    ]


def _headlines(evaluation: Evaluation) -> list[str]:
    several = len(evaluation.systems) > 1
    return [
        f"{system + ': ' if several else ''}{written(evaluation.headline(system))}" for system in evaluation.systems
    ]


def _cell(scores: Scores, name: str) -> str:
    value, (low, high) = scores.means[name], scores.intervals[name]
    if math.isnan(value):
        return "-"
    decimals = METRICS[name].decimals
    shown = f"{value:.{decimals}f}"
    if math.isnan(high - low):
        return shown
    if max(high - value, value - low) > LOPSIDED * min(high - value, value - low):
        return f"{shown} ({low:.{decimals}f} to {high:.{decimals}f})"
    return f"{shown} ± {(high - low) / 2:.{decimals}f}"


def _strict(value: Any) -> Any:
    """Numbers that JSON has not become null; six significant digits are more than any figure holds."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def configuration(measured: Settings, request: Request, direction: Direction | None, texts: bool) -> dict[str, Any]:
    """All that the figures depend on, units in the names. The digest is that of the settings, not of the folders."""
    config = measured.config
    settings = {
        "vc_version": __version__,
        "sample_rate_hz": config.sample_rate,
        "frame_shift_ms": config.frame_shift,
        "fft_samples": config.fft_size,
        "mel_cepstrum_order": config.order,
        "all_pass_constant": config.warping,
        "f0_method": config.f0_method,
        "unvoiced_f0_hz": config.unvoiced_f0,
        "copy_synthesis": plain(copied_by(direction, config)),
        "f0_ranges_hz": {name: each and [each.floor, each.ceiling] for name, each in measured.ranges.items()},
        "speech": "frames whose c0 is within dynamic_range_db of the loudest frame's, on each side",
        "dynamic_range_db": speech.DYNAMIC_RANGE,
        "path": "exact DTW on c1..D of the speech frames, Euclidean, steps (1, 1), (1, 0), (0, 1) of weight 1",
        "modulation_fft_frames": distortion.MODULATION_FFT,
        "highest_modulation_hz": distortion.HIGHEST_MODULATION,
        "measures": list(measured.measures),
        "measure_packages": versions(measured.measures),
        "expected_phones": "of the text where one can be read, else those heard in the source's recording"
        if texts
        else "heard in the source's recording, or without one in the target's",
        "convention_sample_rates_hz": dict(measured.conventions),
        "intervals": f"{intervals.CONFIDENCE:.0%} over sentences: of means by {intervals.RESAMPLES} bootstrap"
        f" resamples, of sets' figures by a jackknife of up to {intervals.GROUPS} groups",
        "seed": intervals.SEED,
        "metrics": {name: metric.definition for name, metric in METRICS.items()},
        "sources": {name: metric.source for name, metric in METRICS.items() if metric.source},
        "units": {name: metric.unit or "plain number" for name, metric in METRICS.items()},
    }
    given = {
        "systems": {name: str(folder.absolute()) for name, folder in request.converted.items()},
        "reference": str(request.reference.absolute()),
        "source": request.source and str(request.source.absolute()),
    }
    model = (
        {"file": str(direction.model), "source": direction.source, "target": direction.target} if direction else None
    )
    today = datetime.date.today().isoformat()
    about = {"summary": _summary(config), "digest": digest(settings), "folders": given, "model": model, "date": today}
    return {**settings, **about}


def _summary(config: WorldConfig) -> str:
    return (
        f"WORLD at {config.sample_rate} Hz, {config.frame_shift:g} ms; mel-cepstrum of order {config.order}, all-pass"
        f" {config.warping}, c0 left out; frames within {speech.DYNAMIC_RANGE:g} dB of the loudest; exact DTW;"
        f" F0 by {config.f0_method}"
    )
