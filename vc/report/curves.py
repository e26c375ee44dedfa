"""Training curves: losses and the score on held-out recordings, by step."""

from collections.abc import Sequence
from typing import Any

from vc.plots import GREY, as_image

COLUMNS = 3
MAX_PANELS = 100
HELD_OUT = "held-out score"
ABOUT_CURVES = (
    "Each panel shows the mean of a loss since the last log line (vertical) over training steps (horizontal)."
    " Adversarial losses that settle between their extremes mean that neither side has won; a loss curve does not show"
    " how the voice sounds."
)


def names_of_curves(lines: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the losses in the lines of log.jsonl, in order of first appearance; MAX_PANELS at most."""
    names = [*dict.fromkeys(name for line in lines for name in line.get("losses", {}))][:MAX_PANELS]
    return [*names, *([HELD_OUT] if any("held_out" in line for line in lines) else [])]


def draw_curves(lines: Sequence[dict[str, Any]]) -> bytes | None:
    """Plot every loss in the lines of log.jsonl in a panel of its own.

    Returns
    -------
    bytes or None
        PNG; None if there is nothing to plot.
    """
    from matplotlib.figure import Figure

    names = names_of_curves(lines)
    if not names:
        return None
    rows = -(-len(names) // COLUMNS)
    figure = Figure(figsize=(8, 1.6 * rows), layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).flat
    for name, axis in zip(names, axes):
        if name == HELD_OUT:
            points = [(line["step"], line["held_out"]["score"]) for line in lines if "held_out" in line]
        else:
            points = [(line["step"], line["losses"][name]) for line in lines if name in line.get("losses", {})]
        steps, values = zip(*points)
        axis.plot(steps, values, color="#00a0c8", linewidth=1.5, marker="." if len(steps) < 3 else "")
        axis.set_title(name.replace("_", " "), color=GREY, loc="left", fontsize=10)
        axis.tick_params(colors=GREY, labelsize=10)
        axis.spines[:].set_visible(False)
        axis.grid(color=GREY, alpha=0.3)
    for axis in axes:  # unused ones
        axis.set_axis_off()
    return as_image(figure)
