#!/usr/bin/env python3
"""metrics.json files -> the Markdown tables of a RESULTS.md.

    results.py exp/*/evaluation/*/metrics.json                            prints them
    results.py --into RESULTS.md --name narrow exp/*_narrow/evaluation/*/metrics.json

writes them into RESULTS.md, between the lines `<!-- results: narrow -->` and `<!-- end -->`, in place of what stands
there. The first table has what decides, a row for each direction and system, then means over the directions, and the
differences of further systems from the first; figures are followed by half of their 95 % intervals. After it come all
figures and the verdict of each direction. --means leaves everything but the means and differences out, and adds the
lowest and highest direction; --verdicts has the grades of each direction alone.

Where several files are about one direction, their systems are compared under the names of their experiments.
"""

import argparse
import sys
from pathlib import Path
from statistics import fmean

import numpy as np
import systems
from systems import ANCHORS, Content, display_name, format_figure

from vc.evaluate.several import evaluation_figures, sentence_figures
from vc.metrics import crossed_interval
from vc.metrics.registry import METHOD_CRITERIA

BY_SIGNALS = ("mcd", "msd", "gv_ratio", "log_f0_rmse", "voicing_error", "frechet_distance", "content_lost")
# In a table of their own
BY_SPEECH_MODELS = ("distillmos", "dnsmos", "phone_error", "phone_error_added", "speaker_similarity", "nearer_target")
CONVERTED, MODEL = "converted", "model"  # names of the converted system in recipes, and of its model in verdicts


def main() -> int:
    return systems.main(__doc__, text, add_options)


def add_options(parser: argparse.ArgumentParser) -> None:
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--means", action="store_true", help="means over the directions alone")
    parts.add_argument("--verdicts", action="store_true", help="grades alone, a row a system and a column a question")


def text(args: argparse.Namespace) -> str:
    """The tables of the options."""
    contents = systems.read(args.metrics, experiments(args.metrics))
    if args.verdicts:
        return "\n".join(verdicts(direction, content) for direction, content in contents.items())
    tables = [summary(contents, args.means)]
    if not args.means:
        tables += [each for direction, content in contents.items() for each in details(direction, content)]
    return "\n".join(tables)


def experiments(paths: list[Path]) -> list[dict[str, str]]:
    """For each file the name that its converted system gets: the experiment's, where a direction occurs twice.

    `exp/A-B_nearest/evaluation/B-A/metrics.json` is of the experiment `nearest`, whichever speakers it is about.
    """
    directions = [path.resolve().parent.name for path in paths]
    if len(set(directions)) == len(directions):
        return [{} for _ in paths]
    names = [experiment(path.resolve().parents[2].name, direction) for path, direction in zip(paths, directions)]
    return [{CONVERTED: name, MODEL: f"{name}'s model"} for name in names]


def experiment(folder: str, direction: str) -> str:
    """A folder's name without the pair of speakers, in either order, with which it begins."""
    words = direction.split("-")
    turned = ("-".join([*words[cut:], *words[:cut]]) for cut in range(len(words)))
    return next((folder[len(pair) + 1 :] for pair in turned if folder.startswith(f"{pair}_")), folder)


def summary(contents: dict[str, Content], means: bool) -> str:
    """The deciding metrics: every system of every direction, then means over directions and differences of systems."""
    directions = list(contents.values())
    names = list(dict.fromkeys(name for content in directions for name in systems.scores(content)))
    metrics = systems.known_metrics(directions, METHOD_CRITERIA)
    rows = [[heading(contents), *systems.headings(metrics)]]
    if not means:
        for direction, content in contents.items():
            for name in systems.scores(content):
                cells = [systems.mean(metric, [content], name) for metric in metrics]
                rows.append([f"{direction}, {display_name(name)}", *cells])
    if means or len(directions) > 1:
        for name in names:
            count = sum(name in systems.scores(content) for content in directions)
            label = "mean" if count == len(directions) else f"mean of {count}"
            cells = [overall(metric, directions, name, span=means) for metric in metrics]
            rows.append([f"{label}, {display_name(name)}", *cells])
    first, *others = [name for name in names if name not in ANCHORS]
    for other in others:
        cells = [difference(metric, directions, other, first) for metric in metrics]
        rows.append([f"{display_name(other)} less {display_name(first)}", *cells])
    return systems.markdown(rows)


def heading(contents: dict[str, Content]) -> str:
    """How much was measured, and what stands behind the figures."""
    counts = sorted({content["counts"]["utterances"] for content in contents.values()})
    spread = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    directions = f"{len(contents)} directions of " if len(contents) > 1 else ""
    return f"{directions}{spread} sentences, ± half of the 95 % interval"


def overall(metric: str, contents: list[Content], name: str, *, span: bool) -> str:
    """A mean over the directions; with `span`, the lowest and the highest of them behind it."""
    cell, figures = systems.mean(metric, contents, name), evaluation_figures(contents, name, metric)
    if not span or len(figures) < 2:
        return cell
    return f"{cell} ({format_figure(metric, min(figures))} to {format_figure(metric, max(figures))})"


def difference(metric: str, contents: list[Content], one: str, other: str) -> str:
    """How far `one` lies above `other` in the sentences and directions that both have, with half of its interval."""
    differences = sentence_figures(contents, one, metric) - sentence_figures(contents, other, metric)
    present = np.isfinite(differences)
    if not present.any():
        return "-"
    differences = differences[present.any(1)][:, present.any(0)]
    low, high = crossed_interval(differences)
    value = fmean(np.nanmean(differences, axis=1))  # every direction has the same weight, as in the rows above
    sign = "+" if round(value, systems.METRICS[metric].decimals) > 0 else ""
    return sign + systems.plus_minus(metric, value, (high - low) / 2 if differences.size > 1 else None)


def details(direction: str, content: Content) -> list[str]:
    """One direction: a row for each system, with the ends of the 95 % intervals; then the verdict."""
    scores = systems.scores(content)
    compared = {name: figures for name, figures in scores.items() if name != "reference"}
    tables = [table(direction, content, *each) for each in ((compared, BY_SIGNALS), (scores, BY_SPEECH_MODELS))]
    several = len(content["systems"]) > 1
    verdict = [
        f"- {display_name(name) + ', ' if several else ''}{each['aspect']}, {each['grade']}: {each['text']}"
        for name, findings in content["verdicts"].items()
        for each in findings
    ]
    return [*filter(None, tables), "\n".join([*verdict, ""])]


def verdicts(direction: str, content: Content) -> str:
    """One direction: a row for each system, a column for each aspect that one of them has a grade of."""
    grades = {
        name: {each["aspect"]: each["grade"] for each in content["verdicts"].get(name, [])}
        for name in content["systems"]
    }
    aspects = list(dict.fromkeys(aspect for own in grades.values() for aspect in own))
    rows = [[f"{direction}, {content['counts']['utterances']} sentences", *aspects]]
    rows += [[display_name(name), *(own.get(aspect, "-") for aspect in aspects)] for name, own in grades.items()]
    return systems.markdown(rows)


def table(direction: str, content: Content, scores: dict, names: tuple[str, ...]) -> str:
    """The metrics of these names that a system has; empty if there is none."""
    metrics = systems.known_metrics([content], names, list(scores))
    if not metrics:
        return ""
    rows = [[f"{direction}, {content['counts']['utterances']} sentences", *systems.headings(metrics)]]
    rows += [[display_name(name), *(cell(metric, figures) for metric in metrics)] for name, figures in scores.items()]
    return systems.markdown(rows)


def cell(metric: str, scores: dict) -> str:
    """A figure and its interval."""
    value = scores.get(metric)
    if value is None:
        return "-"
    ends = scores["intervals"][metric]
    span = "" if None in ends else f" [{', '.join(format_figure(metric, end) for end in ends)}]"
    return format_figure(metric, value) + span


if __name__ == "__main__":
    sys.exit(main())
