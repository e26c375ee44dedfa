#!/usr/bin/env python3
"""metrics.json files -> the Markdown tables of a RESULTS.md.

    results.py exp/*/evaluation/*/metrics.json                            prints them
    results.py --into RESULTS.md --name narrow exp/*_narrow/evaluation/*/metrics.json

writes them into RESULTS.md, between the lines `<!-- results: narrow -->` and `<!-- end -->`, in place of what stands
there.
"""

import argparse
import json
import sys
from pathlib import Path

from vc.errors import DataError
from vc.files import write_text
from vc.metrics.registry import METRICS

SHOWN = ("mcd", "msd", "gv_ratio", "log_f0_rmse", "log_f0_corr", "voicing_error")
SYSTEMS = ("unconverted", "mean_variance", "converted", "copy_synthesis")
END = "<!-- end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, metavar="RESULTS.md", help="file to write the tables into")
    parser.add_argument("--name", default="", help="which of its places")
    args = parser.parse_args()
    try:
        results = named(args.metrics)
        text = "\n".join([summary(results), *(table(direction, content) for direction, content in results.items())])
        if args.into:
            write_text(args.into, replaced(args.into, args.name, text))
        else:
            print(text)
    except BrokenPipeError:
        return 0
    except (DataError, OSError, ValueError, KeyError) as error:
        print(f"results.py: error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def named(paths: list[Path]) -> dict[str, dict]:
    """Contents by direction; with the experiment's name in front where a direction occurs twice."""
    directions = [path.parent.name for path in paths]
    names = [
        direction if directions.count(direction) == 1 else f"{path.absolute().parents[2].name} {direction}"
        for direction, path in zip(directions, paths, strict=True)
    ]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise DataError(f"several files of {', '.join(sorted(repeated))}")
    return {name: json.loads(path.read_text()) for name, path in zip(names, paths, strict=True)}


def summary(results: dict[str, dict]) -> str:
    """All directions in one table: distortion and variance ratio of each system."""
    heads = ["mel-cepstral distortion in dB (global-variance ratio)", *(system.replace("_", "-") for system in SYSTEMS)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for direction, content in results.items():
        cells = [f"{one['mcd']:.2f} ({one['gv_ratio']:.2f})" if one else "-" for one in rows(content).values()]
        lines.append("| " + " | ".join([f"{direction}, {content['counts']['utterances']} sentences", *cells]) + " |")
    return "\n".join([*lines, ""])


def rows(content: dict) -> dict[str, dict | None]:
    """A direction's scores by system, None where one was not measured."""
    systems = {"converted": content, **content["anchors"]}
    return {system: systems.get(system) for system in SYSTEMS}


def table(direction: str, content: dict) -> str:
    """One direction: a row a system, with 95 % intervals behind the figures."""
    units = {name: f" ({METRICS[name].unit})" if METRICS[name].unit else "" for name in SHOWN}
    head = f"| {direction}, {content['counts']['utterances']} sentences | "
    lines = [head + " | ".join(f"`{name}`{units[name]}" for name in SHOWN) + " |", "|---" * (1 + len(SHOWN)) + "|"]
    for system, scores in rows(content).items():
        if scores:
            lines.append(f"| {system.replace('_', '-')} | " + " | ".join(cell(name, scores) for name in SHOWN) + " |")
    return "\n".join([*lines, ""])


def cell(name: str, scores: dict) -> str:
    """A figure and its interval, as many decimals as the metric wants."""
    if scores[name] is None:
        return "-"
    decimals = METRICS[name].decimals
    low, high = scores["intervals"][name]
    return f"{scores[name]:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]"


def replaced(path: Path, name: str, text: str) -> str:
    """The file's text with `text` between the lines that name the place."""
    content, begin = path.read_text(), f"<!-- results: {name} -->"
    before, found, rest = content.partition(begin + "\n")
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise DataError(f"{path}: no lines '{begin}' and '{END}'")
    return f"{before}{begin}\n\n{text}\n{END}{after}"


if __name__ == "__main__":
    sys.exit(main())
