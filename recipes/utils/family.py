#!/usr/bin/env python3
"""Evaluations of several methods on the same ways -> one Markdown table: how near each comes, and what it costs.

    family.py evaluation/*/metrics.json --models gan=exp/A-B_gan unit=exp/A-B-C_unit

prints it, means over the ways with half of their 95 % intervals; --into docs/methods.md --name NAME writes it between
the lines `<!-- results: NAME -->` and `<!-- end -->`. --models says where a system's experiment lies: its parameters
and its training time stand there.
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import systems

from vc import model_file
from vc.errors import DataError
from vc.metrics.registry import METHOD_CRITERIA
from vc.train import log

SHOWN = (*METHOD_CRITERIA, "nearer_target", "msd", "approach", "content_lost")


def table(args: Namespace) -> str:
    """A row for each method, then for each anchor."""
    contents = systems.read(args.metrics)
    rows, models = systems.converted([*contents.values()]), {}
    for word in args.models:
        name, _, folder = word.partition("=")
        if not folder or name not in rows:
            raise DataError(f"--models {word}: expected NAME=DIR, NAME one of {', '.join(rows)}")
        models[name] = Path(folder)
    rows += [name for name in systems.ANCHORS if any(name in content["anchors"] for content in contents.values())]
    counts = {content["counts"]["utterances"] for content in contents.values()}
    head = f"{' and '.join(map(str, sorted(counts)))} sentences, {', '.join(contents)}"
    costs = {
        "speakers": lambda name: str(speakers(models[name])) if name in models else "-",
        "parameters (million)": lambda name: f"{parameters(models[name]) / 1e6:.2f}" if name in models else "-",
        "steps": lambda name: f"{steps(models[name]):,}" if name in models else "-",
        "minutes": lambda name: f"{minutes(models[name]):.0f}" if name in models else "-",
    }
    return systems.table(head, list(contents.values()), rows, SHOWN, costs)


def add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--models", nargs="+", default=[], metavar="NAME=DIR", help="experiments of the systems")


def speakers(folder: Path) -> int:
    """Number of speakers of a model."""
    return len(model_file.read(folder, "numpy")[0].speakers)


def parameters(folder: Path) -> int:
    """Number of parameters of the whole model."""
    return sum(array.size for array in model_file.read(folder, "numpy")[1].values())


def reports(folder: Path) -> list[dict]:
    """A run's reports of its losses, in order; a method without steps has none."""
    if not (folder / log.NAME).is_file():
        raise DataError(f"{folder}: no {log.NAME}")
    return [row for row in log.read(folder) if "steps_per_second" in row]


def steps(folder: Path) -> int:
    """Steps that a run took, whichever model was kept as the best."""
    return max((row["step"] for row in reports(folder)), default=0)


def minutes(folder: Path) -> float:
    """Wall time of a run's steps, with the saving and scoring between them."""
    rows = reports(folder)
    counts = [now["step"] - before for now, before in zip(rows, [0, *(row["step"] for row in rows)])]
    speeds = [row["steps_per_second"] for row in rows]
    return sum(count / speed for count, speed in zip(counts, speeds) if speed) / 60


if __name__ == "__main__":
    sys.exit(systems.main(__doc__, table, add_options))
