"""Several systems of one or more evaluations as one Markdown table; what vocoders.py and family.py share."""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from results import replaced, rounded

from vc.errors import DataError
from vc.files import write_text
from vc.metrics.registry import METRICS

Scores = Mapping[str, Mapping]  # of one evaluation: system -> metric -> mean


def main(description: str, make: Callable[[argparse.Namespace], str], more: Sequence[str] = ()) -> int:
    """Print what `make` makes of the words, or write it into a file; one line for what is wrong with them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, metavar="RESULTS.md", help="file to write the table into")
    parser.add_argument("--name", default="", help="which of its places")
    for option in more:
        parser.add_argument(option, nargs="+", default=[])
    args = parser.parse_args()
    try:
        text = make(args)
        if args.into:
            write_text(args.into, replaced(args.into, args.name, text))
        else:
            print(text, end="")
    except (DataError, OSError, ValueError, KeyError) as error:
        print(f"{Path(sys.argv[0]).name}: error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def read(paths: Sequence[Path]) -> dict[str, dict]:
    """Contents of metrics.json files by the folders that hold them; systems of folders of one name stand together."""
    contents: dict[str, dict] = {}
    for path in paths:
        content = json.loads(path.read_text())
        known = contents.setdefault(path.resolve().parent.name, content)
        twice = sorted(set(known["systems"]) & set(content["systems"])) if known is not content else []
        if twice:
            raise DataError(f"{path}: {', '.join(twice)} once more")
        known["systems"] |= content["systems"]
    return contents


def table(
    head: str, evaluations: Sequence[Scores], shown: Sequence[str], costs: Mapping[str, Callable[[str], str]]
) -> str:
    """A row for each system of the first evaluation: its metrics' means over all, and what it costs."""
    rows = {name: [each.get(name, {}) for each in evaluations] for name in evaluations[0]}
    known = [one for one in shown if any(scores.get(one) is not None for own in rows.values() for scores in own)]
    units = [f" ({METRICS[one].unit})" if METRICS[one].unit else "" for one in known]
    heads = [head, *(f"`{one}`{unit}" for one, unit in zip(known, units)), *costs]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for name, scores in rows.items():
        cells = [mean(one, [each.get(one) for each in scores]) for one in known]
        lines.append(
            "| " + " | ".join([name.replace("_", " "), *cells, *(tell(name) for tell in costs.values())]) + " |"
        )
    return "\n".join([*lines, ""])


def mean(name: str, values: list[float | None]) -> str:
    """With the metric's decimals."""
    found = [value for value in values if value is not None]
    return rounded(name, fmean(found)) if found else "-"
