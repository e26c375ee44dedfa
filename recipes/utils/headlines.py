#!/usr/bin/env python3
"""metrics.json files -> the headline of each evaluation, and the address of its page.

headlines.py exp/*/evaluation/*/metrics.json
"""

import sys
from argparse import Namespace

import systems


def text(args: Namespace) -> str:
    """Lines for each evaluation."""
    lines = []
    for path in args.metrics:
        content = systems.read_evaluation(path)
        title = content.get("title", path.resolve().parent.name)
        lines += [f"{title}: {headline}\n" for headline in content.get("headlines", {}).values()]
        lines.append(f"Report: {(path.absolute().parent / 'report.html').as_uri()}\n")
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(systems.main(__doc__, text))
