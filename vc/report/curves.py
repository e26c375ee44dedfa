"""How a training run went: its losses, and the score of its held-out recordings, by step."""

from collections.abc import Sequence
from typing import Any

from vc.plots import GREY, as_image

COLUMNS = 3
MAX_PANELS = 100
HELD_OUT = "held-out score"
ABOUT_CURVES = (
    "Each panel has the step of training from left to right and a mean loss since the last report from low to high."
    " Adversarial losses that settle between their extremes are a game that goes on; a loss curve does not tell how"
    " the voice sounds."
)


def names_of_curves(lines: Sequence[dict[str, Any]]) -> list[str]:
    """The losses in the lines of log.jsonl, in the order of their first report; no more than a page can hold."""
    names = [*dict.fromkeys(name for line in lines for name in line.get("losses", {}))][:MAX_PANELS]
    return [*names, *([HELD_OUT] if any("held_out" in line for line in lines) else [])]


def draw_curves(lines: Sequence[dict[str, Any]]) -> bytes | None:
    """PNG with a panel for each loss in the lines of log.jsonl; None where there is nothing to draw."""
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
    for axis in axes:  # those that are left
        axis.set_axis_off()
    return as_image(figure)
