"""Evaluations read and as Markdown tables: what the utilities that take metrics.json files share.

A cell is a figure with half of its 95 % interval (`vc.evaluate.several`).
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from types import MappingProxyType
from typing import Any

from vc.config import read_json
from vc.errors import DataError, VCError
from vc.evaluate.several import evaluation_figures, half_interval, sentence_figures
from vc.files import write_text
from vc.metrics.registry import METRICS

ANCHORS = ("unconverted", "mean_variance", "copy_synthesis", "reference")
END = "<!-- end -->"

Content = dict[str, Any]  # of a metrics.json


def main(
    description: str,
    make: Callable[[argparse.Namespace], str],
    add_options: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
) -> int:
    """Print the text that `make` returns for the arguments, or write it into a file; errors are one line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, metavar="RESULTS.md", help="file to write the tables into")
    parser.add_argument("--name", default="", help="of the tables in that file")
    add_options(parser)
    args = parser.parse_args()

    def write() -> None:
        text = make(args)
        if args.into:
            write_text(args.into, replace_results(args.into, args.name, text))
        else:
            print(text, end="", flush=True)

    return exit_status(write)


def exit_status(work: Callable[[], None]) -> int:
    """Do the work; its errors are lines on stderr and status 1."""
    try:
        work()
    except BrokenPipeError:
        return 0
    except (VCError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return 1
    return 0


def read(paths: Sequence[Path], names: Sequence[Mapping[str, str]] = ()) -> dict[str, Content]:
    """Contents by direction, which is the name of the folder of a metrics.json; systems of one direction are combined.

    `names` has, for each path, other names for its systems.
    """
    contents: dict[str, Content] = {}
    for number, path in enumerate(paths):
        content = read_evaluation(path, names[number] if names else {})
        known = contents.setdefault(path.resolve().parent.name, content)
        if known is not content:
            add_systems(known, content, path)
    return contents


def read_evaluation(path: Path, names: Mapping[str, str] = MappingProxyType({})) -> Content:
    """The content of a metrics.json, with other names for some of its systems; DataError for any other file."""
    content = read_json(path)
    try:
        content = rename_systems(content, names)
        anchors, count = content["anchors"], content["counts"]["utterances"]
        if not (content["systems"] and isinstance(anchors, dict) and isinstance(count, int)):
            raise ValueError("no systems, anchors or count of utterances")
        for system, figures in scores(content).items():  # all that tables are made of, so that the file is named
            for metric in METRICS:
                half_interval([content], system, metric)
                sentence_figures([content], system, metric)
                if figures.get(metric) is not None:
                    format_figure(metric, figures[metric])
        for findings in content["verdicts"].values():
            for finding in findings:
                " ".join(finding[part] for part in ("aspect", "grade", "text"))
        " ".join(content.get("headlines", {}).values())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: not an evaluation's metrics.json: {type(error).__name__}: {error}") from error
    return content


def rename_systems(content: Content, names: Mapping[str, str]) -> Content:
    """The content with other names for some of its systems."""

    def rename(by_system: Mapping[str, Any]) -> dict[str, Any]:
        return {names.get(name, name): value for name, value in by_system.items()}

    rows = [{**row, "systems": rename(row.get("systems", {}))} for row in content.get("utterances", [])]
    return {**content, "utterances": rows, **{part: rename(content.get(part, {})) for part in ("systems", "verdicts")}}


def add_systems(known: Content, content: Content, path: Path) -> None:
    """Add the systems of another evaluation of the same direction to `known`."""
    twice = sorted(set(known["systems"]) & set(content["systems"]))
    if twice:
        raise DataError(f"{path}: {', '.join(twice)} once more")
    known["systems"] |= content["systems"]
    known["verdicts"] |= content["verdicts"]
    rows = {row["sentence"]: row for row in known["utterances"]}
    for row in content["utterances"]:
        rows.setdefault(row["sentence"], {"sentence": row["sentence"], "systems": {}})["systems"] |= row["systems"]
    known["utterances"] = list(rows.values())


def converted(contents: Sequence[Content]) -> list[str]:
    """Names of the converted systems of all directions, in order of appearance."""
    return list(dict.fromkeys(name for content in contents for name in content["systems"]))


def scores(content: Content) -> dict[str, Mapping]:
    """System -> metric -> figure of one direction: the source's anchors, the systems, the target's anchors."""
    anchors = {name: content["anchors"][name] for name in ANCHORS if name in content["anchors"]}
    first = {name: anchors.pop(name) for name in ANCHORS[:2] if name in anchors}
    return {**first, **content["systems"], **anchors}


def mean(metric: str, contents: Sequence[Content], system: str) -> str:
    """A system's mean over the directions, with half of its interval."""
    values = evaluation_figures(contents, system, metric)
    return plus_minus(metric, fmean(values), half_interval(contents, system, metric)) if values else "-"


def plus_minus(metric: str, value: float, half_width: float | None) -> str:
    """A figure, and half of its interval where there is one."""
    return format_figure(metric, value) + ("" if half_width is None else f" ± {format_figure(metric, half_width)}")


def format_figure(metric: str, value: float) -> str:
    """A figure with the metric's decimals; never -0."""
    decimals = METRICS[metric].decimals
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def known_metrics(contents: Sequence[Content], names: Sequence[str], systems: Sequence[str] | None = None) -> list[str]:
    """The metrics for which at least one of the systems (default: of all) has a figure."""
    rows = [
        row for content in contents for system, row in scores(content).items() if systems is None or system in systems
    ]
    return [name for name in names if any(row.get(name) is not None for row in rows)]


def headings(metrics: Sequence[str]) -> list[str]:
    """Headings of a table's columns."""
    return [f"`{name}`" + f" ({METRICS[name].unit})" * bool(METRICS[name].unit) for name in metrics]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table of cells, the first row its head, and an empty line."""
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:], ""])


def display_name(system: str) -> str:
    """A system's name in a table."""
    return system.replace("_", "-") if system in ANCHORS else system.replace("_", " ")


def table(
    head: str,
    contents: Sequence[Content],
    systems: Sequence[str],
    shown: Sequence[str],
    costs: Mapping[str, Callable[[str], str]],
) -> str:
    """A row for each system: its metrics' means over the directions that have it, and what it costs."""
    known = known_metrics(contents, shown, systems)
    rows = [[head, *headings(known), *costs]]
    for name in systems:
        count = sum(name in scores(content) for content in contents)
        label = display_name(name) + (f" (of {count})" if 0 < count < len(contents) else "")
        cells = [mean(metric, contents, name) for metric in known]
        rows.append([label, *cells, *(cost(name) for cost in costs.values())])
    return markdown(rows)


def replace_results(path: Path, name: str, text: str) -> str:
    """The file's content with `text` between the comments that mark the place `name`."""
    content, begin = path.read_text("utf-8", "surrogateescape"), f"<!-- results: {name} -->"
    before, found, rest = content.partition(begin + "\n")
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise DataError(f"{path}: no lines '{begin}' and '{END}'")
    return f"{before}{begin}\n\n{text}\n{END}{after}"
