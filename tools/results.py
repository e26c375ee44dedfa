"""Print metrics.json files as the Markdown tables of a RESULTS.md: tools/results.py exp/*/evaluation/*/metrics.json"""

import argparse
import json
import sys
from pathlib import Path

from vc.metrics.scores import METRICS

SHOWN = ("mcd", "msd", "gv_ratio", "log_f0_rmse", "log_f0_corr", "voicing_error")
SYSTEMS = ("unconverted", "mean_variance", "converted", "copy_synthesis")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("metrics", nargs="+", type=Path)
    for path in parser.parse_args().metrics:
        print(table(path.parent.name, json.loads(path.read_text())))
    return 0


def table(direction: str, content: dict) -> str:
    """One direction: a row a system, with 95 % intervals behind the figures."""
    systems = {"converted": content, **content["anchors"]}
    units = {name: f" ({METRICS[name].unit})" if METRICS[name].unit else "" for name in SHOWN}
    head = f"| {direction}, {content['counts']['utterances']} sentences | "
    lines = [head + " | ".join(f"`{name}`{units[name]}" for name in SHOWN) + " |", "|---" * (1 + len(SHOWN)) + "|"]
    for system in SYSTEMS:
        if system in systems:
            cells = [cell(name, systems[system]) for name in SHOWN]
            lines.append(f"| {system.replace('_', '-')} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def cell(name: str, scores: dict) -> str:
    """A figure and its interval, as many decimals as the metric wants."""
    if scores[name] is None:
        return "-"
    decimals = METRICS[name].decimals
    low, high = scores["intervals"][name]
    return f"{scores[name]:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


if __name__ == "__main__":
    sys.exit(main())
