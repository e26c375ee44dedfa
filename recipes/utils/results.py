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

SHOWN = ("mcd", "msd", "gv_ratio", "log_f0_rmse", "voicing_error", "frechet_distance", "content_lost")
HEARD = ("speaker_similarity", "nearer_target", "phone_error", "dnsmos")  # by models of speech, in a table of their own
SYSTEMS = ("unconverted", "mean_variance", "converted", "copy_synthesis", "reference")
END = "<!-- end -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, metavar="RESULTS.md", help="file to write the tables into")
    parser.add_argument("--name", default="", help="which of its places")
    args = parser.parse_args()
    try:
        results = named(args.metrics)
        text = "\n".join([summary(results), *(tables(direction, content) for direction, content in results.items())])
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
    shown = [system for system in SYSTEMS if system != "reference"]
    heads = ["mel-cepstral distortion in dB (global-variance ratio)", *(system.replace("_", "-") for system in shown)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for direction, content in results.items():
        scores = rows(content)
        cells = [
            f"{plain('mcd', scores[one])} ({plain('gv_ratio', scores[one])})" if scores[one] else "-" for one in shown
        ]
        lines.append("| " + " | ".join([f"{direction}, {content['counts']['utterances']} sentences", *cells]) + " |")
    return "\n".join([*lines, ""])


def rows(content: dict) -> dict[str, dict | None]:
    """A direction's scores by system, None where one was not measured."""
    systems = {"converted": content, **content["anchors"]}
    return {system: systems.get(system) for system in SYSTEMS}


def tables(direction: str, content: dict) -> str:
    """One direction: a row a system, with 95 % intervals behind the figures; then the verdict."""
    compared = {system: scores for system, scores in rows(content).items() if scores and system != "reference"}
    heard = {system: scores for system, scores in rows(content).items() if scores}
    shown = [table(direction, content, *each) for each in ((compared, SHOWN), (heard, HEARD))]
    findings = [each for found in content.get("verdicts", {}).values() for each in found]
    verdict = [f"- {each['aspect']}, {each['grade']}: {each['text']}" for each in findings]
    return "\n".join([*shown, *verdict, ""])


def table(direction: str, content: dict, systems: dict[str, dict], names: tuple[str, ...]) -> str:
    """The metrics of these names that a system has; empty if there is none."""
    names = tuple(name for name in names if any(scores.get(name) is not None for scores in systems.values()))
    if not names:
        return ""
    units = {name: f" ({METRICS[name].unit})" if METRICS[name].unit else "" for name in names}
    head = f"| {direction}, {content['counts']['utterances']} sentences | "
    lines = [head + " | ".join(f"`{name}`{units[name]}" for name in names) + " |", "|---" * (1 + len(names)) + "|"]
    for system, scores in systems.items():
        lines.append(f"| {system.replace('_', '-')} | " + " | ".join(cell(name, scores) for name in names) + " |")
    return "\n".join([*lines, ""])


def cell(name: str, scores: dict) -> str:
    """A figure and its interval, as many decimals as the metric wants."""
    low, high = scores["intervals"][name]
    if None in (scores[name], low, high):
        return plain(name, scores)
    return f"{rounded(name, scores[name])} [{rounded(name, low)}, {rounded(name, high)}]"


def plain(name: str, scores: dict) -> str:
    """A figure alone."""
    return "-" if scores[name] is None else rounded(name, scores[name])


def rounded(name: str, value: float) -> str:
    """With the metric's decimals; never -0."""
    decimals = METRICS[name].decimals
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


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
