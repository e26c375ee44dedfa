#!/usr/bin/env python3
"""Learning curves in one picture: evaluations of the models that `training.keep_every` has kept.

    curve.py evaluation/*/metrics.json --output curve.png

A system NAME-STEP, such as narrow-5000, is a point of the curve NAME. Other systems, and the anchors but the
reference, are horizontal lines. Means over the directions, with 95 % intervals of the points.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import systems

from vc.errors import DataError
from vc.evaluate.several import evaluation_figures, half_interval
from vc.files import write_bytes
from vc.metrics.registry import METHOD_CRITERIA, METRICS
from vc.plots import GREY, as_image, require_matplotlib

SHOWN = (*METHOD_CRITERIA, "nearer_target", "msd")
COLUMNS, PANEL = 4, (3.0, 2.2)  # inches
LINES = {"unconverted": "dotted", "mean_variance": "dashdot", "copy_synthesis": "dashed"}  # others: solid, thin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="+", type=Path)
    parser.add_argument("--output", type=Path, required=True, metavar="PNG")
    args = parser.parse_args()

    def draw() -> None:
        require_matplotlib()
        write_bytes(args.output, picture(list(systems.read(args.metrics).values())))

    return systems.exit_status(draw)


def picture(contents: Sequence[systems.Content]) -> bytes:
    """A panel for each metric, with steps on a logarithmic axis, as a PNG file."""
    from matplotlib.figure import Figure

    curves = learning_curves(systems.converted(contents))
    points = {name for curve in curves.values() for name in curve.values()}
    names = dict.fromkeys(name for content in contents for name in systems.scores(content))
    lines = [name for name in names if name not in points and name != "reference"]
    metrics = systems.known_metrics(contents, SHOWN, [*points])
    rows = -(-len(metrics) // COLUMNS)
    figure = Figure(figsize=(COLUMNS * PANEL[0], rows * PANEL[1] + 0.4), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis, metric in zip(axes, metrics):
        for name, systems_by_step in curves.items():
            curve = {
                step: system for step, system in systems_by_step.items() if evaluation_figures(contents, system, metric)
            }
            if not curve:
                continue
            means = [fmean(evaluation_figures(contents, system, metric)) for system in curve.values()]
            halves = [half_interval(contents, system, metric) or 0 for system in curve.values()]
            axis.errorbar(
                [*curve], means, halves, marker="o", markersize=4, capsize=2, label=systems.display_name(name)
            )
        for name in lines:
            values = evaluation_figures(contents, name, metric)
            if values:
                label, style = systems.display_name(name), LINES.get(name, "solid")
                axis.axhline(fmean(values), color=GREY, linestyle=style, linewidth=1, label=label)
        axis.set_xscale("log")
        unit = f" ({METRICS[metric].unit})" * bool(METRICS[metric].unit)
        axis.set_title(metric + unit, color=GREY, loc="left", fontsize=9, parse_math=False)
        axis.tick_params(colors=GREY, labelsize=8)
        axis.spines[:].set_edgecolor(GREY)
    for axis in axes[-COLUMNS:]:
        axis.set_xlabel("steps", color=GREY, fontsize=8)
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    handles = {label: handle for axis in figure.axes for handle, label in zip(*axis.get_legend_handles_labels())}
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=6, fontsize=8, labelcolor=GREY, frameon=False
    )
    return as_image(figure)


def learning_curves(names: Sequence[str]) -> dict[str, dict[int, str]]:
    """Curve -> step -> system, by the systems' names; DataError if none is NAME-STEP."""
    curves: dict[str, dict[int, str]] = {}
    for name in names:
        if found := re.fullmatch(r"(.+)-(\d+)", name):
            curves.setdefault(found[1], {})[int(found[2])] = name
    if not curves:
        raise DataError(f"no system is called NAME-STEP; there are: {', '.join(names)}")
    return {name: dict(sorted(curve.items())) for name, curve in curves.items()}


if __name__ == "__main__":
    sys.exit(main())
