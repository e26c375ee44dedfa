"""The result of an evaluation: as data, as JSON, and as a table for the terminal."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vc.evaluate.anchors import REFERENCE, Cycle, says_source
from vc.evaluate.compare import Spread, SystemComparison
from vc.evaluate.headline import Part, as_text, headline
from vc.evaluate.match import Recordings
from vc.evaluate.verdict import Finding
from vc.metrics.registry import METRICS
from vc.metrics.scores import Scores

MAX_ASYMMETRY = 1.5  # ratio of the two sides of an interval above which a single ± would mislead
SIGNIFICANT_DIGITS = 6  # of numbers in JSON; no figure is more precise


@dataclass(frozen=True)
class Evaluation:
    """Scores of the converted systems and the anchors, and what a report shows and plays of them."""

    title: str
    source: str  # name of the source speaker, empty if unknown
    target: str  # name of the target speaker
    recording_names: dict[str, str]  # sentence -> name of its recording, for display
    texts: dict[str, str]  # sentence -> transcript, if known
    systems: list[str]  # the converted ones; the first one's figures are at the top level of metrics.json
    parallel: bool  # whether the target's recordings are of the same sentences
    scores: dict[str, Scores]  # the converted systems first, then the anchors; rows in the order of `recordings`
    comparisons: list[SystemComparison]
    verdicts: dict[str, list[Finding]]  # converted system, or MODEL -> findings
    cycle: Cycle | None  # of the model
    training: list[dict[str, Any]]  # the lines of the model's log.jsonl
    runs: dict[str, dict[str, Spread]]  # system -> metric -> spread, for systems with several runs
    recordings: dict[str, Recordings]  # system -> sentence -> recording, of the measured sentences
    f0: dict[str, dict[str, np.ndarray]]  # system -> sentence -> (frames,) Hz
    configuration: dict[str, Any]
    counts: dict[str, int]
    unmatched: dict[str, list[str]]  # side -> names
    failures: list[str]  # one line each
    notes: list[str]  # what a reader must know: what was left out or assumed

    @property
    def sentences(self) -> list[str]:
        """Names of the measured sentences."""
        return list(self.recordings[self.systems[0]])

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics for which at least one system has a figure.

        `phone_error_added` is left out where the source has no phone errors and it therefore equals `phone_error`.
        """
        figures = {name: [scores.means[name] for scores in self.scores.values()] for name in METRICS}
        metrics = [name for name in METRICS if any(map(math.isfinite, figures[name]))]
        pairs = zip(figures["phone_error_added"], figures["phone_error"], strict=True)
        if all(added == error for added, error in pairs if math.isfinite(added)):
            metrics = [name for name in metrics if name != "phone_error_added"]
        return metrics

    def headline(self, system: str) -> list[Part]:
        """The headline of a converted system, in parts."""
        reference = self.scores[REFERENCE]
        return headline(self.verdicts[system], self.scores[system], reference=reference, target=self.target)


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The content of metrics.json: strict JSON, null for unknown values.

    The first system's figures are at the top level, those of all under `systems` and `anchors`.
    """
    figures = {name: {**scores.means, "intervals": scores.intervals} for name, scores in evaluation.scores.items()}
    systems = {name: figures.pop(name) for name in evaluation.systems}
    copied = ("title", "source", "target", "parallel", "counts", "configuration", "notes", "failures", "unmatched")
    content = {
        **systems[evaluation.systems[0]],
        "headlines": {system: as_text(evaluation.headline(system)) for system in evaluation.systems},
        "systems": systems,
        "anchors": figures,
        "runs": {
            system: {name: vars(spread) for name, spread in spreads.items()}
            for system, spreads in evaluation.runs.items()
        },
        "verdicts": {
            system: [finding._asdict() for finding in findings] for system, findings in evaluation.verdicts.items()
        },
        "cycle": evaluation.cycle and evaluation.cycle._asdict(),
        "comparisons": [
            {
                "metric": comparison.metric,
                "one": comparison.one,
                "other": comparison.other,
                **vars(comparison.result),
                "p_holm": comparison.p_holm,
            }
            for comparison in evaluation.comparisons
        ],
        **{name: getattr(evaluation, name) for name in copied},
    }
    comparable = {name for name in evaluation.scores if evaluation.parallel or says_source(name)}
    content["utterances"] = [
        {
            "sentence": sentence,
            "recording": evaluation.recording_names[sentence],
            **evaluation.scores[evaluation.systems[0]].rows[index],
            "systems": {name: evaluation.scores[name].rows[index] for name in systems},
            "anchors": {name: evaluation.scores[name].rows[index] for name in figures if name in comparable},
        }
        for index, sentence in enumerate(evaluation.sentences)
    ]
    return _strict(content)


def format_table(evaluation: Evaluation) -> str:
    """Format as text: a row per metric and a column per system, with 95 % intervals; findings, settings, headlines."""
    lines = [["", *evaluation.scores]]
    for name in evaluation.metrics:
        unit = METRICS[name].unit
        label = f"{name} [{unit}]" if unit else name
        lines.append([label, *(_cell(scores, name) for scores in evaluation.scores.values())])
    widths = [max(map(len, column)) for column in zip(*lines)]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    count, several = len(evaluation.sentences), len(evaluation.systems) > 1
    return "\n".join(
        [
            f"{evaluation.title}, {count} sentence{'s' * (count > 1)}, ± half of the 95 % interval, or its ends",
            *table,
            *(
                f"{system + ': ' if several else ''}{finding.aspect}, {finding.grade}: {finding.text}"
                for system, findings in evaluation.verdicts.items()
                for finding in findings
            ),
            evaluation.configuration["summary"],
            *(
                f"{system + ': ' if several else ''}{as_text(evaluation.headline(system))}"
                for system in evaluation.systems
            ),
        ]
    )


def _cell(scores: Scores, name: str) -> str:
    value, (low, high) = scores.means[name], scores.intervals[name]
    if math.isnan(value):
        return "-"
    decimals, (lowest, highest), half = METRICS[name].decimals, METRICS[name].limits, (high - low) / 2
    text, *ends = (f"{round(number, decimals) + 0.0:.{decimals}f}" for number in (value, low, high))
    if math.isnan(half):
        return text
    lopsided = max(high - value, value - low) > MAX_ASYMMETRY * min(high - value, value - low)
    if lopsided or value - half < lowest or value + half > highest:
        return f"{text} ({' to '.join(ends)})"
    return f"{text} ± {half:.{decimals}f}"


def _strict(value: Any) -> Any:
    """Replace numbers that JSON does not have by null, and round the others."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return value
