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

LOPSIDED = 1.5  # times as long as the other side of an interval, from where one half of it misleads
SIGNIFICANT_DIGITS = 6  # of a number in JSON, more than any figure holds


@dataclass(frozen=True)
class Evaluation:
    """Figures of the converted sets and of their anchors, and what a report needs to show and play them."""

    title: str
    source: str  # name of the source speaker, empty where it is unknown
    target: str  # name of the target speaker
    recording_names: dict[str, str]  # sentence -> the name of its recording before it got an id
    texts: dict[str, str]  # sentence -> transcript, where that is known
    systems: list[str]  # the converted ones; the first is the one that metrics.json is about
    parallel: bool  # whether the target's recordings say the same sentences
    scores: dict[str, Scores]  # the converted systems first, then the anchors; rows go along `recordings`
    comparisons: list[SystemComparison]
    verdicts: dict[str, list[Finding]]  # converted system, or MODEL -> what its figures say
    cycle: Cycle | None  # of the model, there and back
    training: list[dict[str, Any]]  # the lines of the model's log.jsonl
    runs: dict[str, dict[str, Spread]]  # system -> metric -> spread, where there are several runs
    recordings: dict[str, Recordings]  # system -> sentence -> recording, of those that were measured
    f0: dict[str, dict[str, np.ndarray]]  # system -> sentence -> (frames,) Hz
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
        """Those that at least one system has a figure of.

        Phone error added to a source that has none repeats the phone error, and is left out.
        """
        figures = {name: [each.means[name] for each in self.scores.values()] for name in METRICS}
        metrics = [name for name in METRICS if any(map(math.isfinite, figures[name]))]
        pairs = zip(figures["phone_error_added"], figures["phone_error"], strict=True)
        if all(added == error for added, error in pairs if math.isfinite(added)):
            metrics = [name for name in metrics if name != "phone_error_added"]
        return metrics

    def headline(self, system: str) -> list[Part]:
        """A converted system in one sentence."""
        reference = self.scores[REFERENCE]
        return headline(self.verdicts[system], self.scores[system], reference=reference, target=self.target)


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The content of metrics.json: strict JSON, null for what is unknown.

    The first system's figures stand at the top, every system's under `systems` and `anchors`.
    """
    figures = {name: {**scores.means, "intervals": scores.intervals} for name, scores in evaluation.scores.items()}
    systems = {name: figures.pop(name) for name in evaluation.systems}
    copied = ("title", "source", "target", "parallel", "counts", "configuration", "notes", "failures", "unmatched")
    content = {
        **systems[evaluation.systems[0]],
        "headlines": {system: as_text(evaluation.headline(system)) for system in evaluation.systems},
        "systems": systems,
        "anchors": figures,
        "runs": {system: {name: vars(each) for name, each in of.items()} for system, of in evaluation.runs.items()},
        "verdicts": {system: [each._asdict() for each in findings] for system, findings in evaluation.verdicts.items()},
        "cycle": evaluation.cycle and evaluation.cycle._asdict(),
        "comparisons": [
            {
                "metric": each.metric,
                "one": each.one,
                "other": each.other,
                **vars(each.result),
                "p_holm": each.p_holm,
            }
            for each in evaluation.comparisons
        ],
        **{name: getattr(evaluation, name) for name in copied},
    }
    of_source = {name for name in evaluation.scores if evaluation.parallel or says_source(name)}
    content["utterances"] = [
        {
            "sentence": sentence,
            "recording": evaluation.recording_names[sentence],
            **evaluation.scores[evaluation.systems[0]].rows[index],
            "systems": {name: evaluation.scores[name].rows[index] for name in systems},
            "anchors": {name: evaluation.scores[name].rows[index] for name in figures if name in of_source},
        }
        for index, sentence in enumerate(evaluation.sentences)
    ]
    return _strict(content)


def format_table(evaluation: Evaluation) -> str:
    """A line for each metric and a column for each system, with 95 % intervals; verdicts; settings; headlines."""
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
    decimals = METRICS[name].decimals
    text = f"{value:.{decimals}f}"
    if math.isnan(high - low):
        return text
    if max(high - value, value - low) > LOPSIDED * min(high - value, value - low):
        return f"{text} ({low:.{decimals}f} to {high:.{decimals}f})"
    return f"{text} ± {(high - low) / 2:.{decimals}f}"


def _strict(value: Any) -> Any:
    """Numbers that JSON does not have become null, others are rounded."""
    if isinstance(value, dict):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else None
    return value
