#!/usr/bin/env python3
"""Evaluations of copy-synthesis -> one Markdown table: how each vocoder and setting sounds, and what it costs.

    vocoders.py evaluation/*/metrics.json                            prints it, means over the speakers
    vocoders.py --into RESULTS.md --name vcc2016 evaluation/*/metrics.json

writes it into RESULTS.md, between the lines `<!-- results: vcc2016 -->` and `<!-- end -->`. The cost is what
`vc-vocoder copy --report` said of copies/SPEAKER/SYSTEM.json, beside the folder evaluation/.
"""

import argparse
import json
import sys
from pathlib import Path
from statistics import fmean

from results import replaced, rounded

from vc.errors import DataError
from vc.files import write_text
from vc.metrics.registry import METRICS

SHOWN = ("distillmos", "dnsmos", "speaker_similarity", "phone_error_added", "mcd", "log_f0_rmse", "voicing_error")
ORIGINAL = "reference"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", nargs="+", type=Path)
    parser.add_argument("--into", type=Path, metavar="RESULTS.md", help="file to write the table into")
    parser.add_argument("--name", default="", help="which of its places")
    args = parser.parse_args()
    try:
        text = table(args.metrics)
        if args.into:
            write_text(args.into, replaced(args.into, args.name, text))
        else:
            print(text, end="")
    except (DataError, OSError, ValueError, KeyError) as error:
        print(f"vocoders.py: error: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def table(paths: list[Path]) -> str:
    """A row for each system, the recordings themselves first; the last column is CPU seconds a second of sound."""
    contents = {path.resolve().parent.name: json.loads(path.read_text()) for path in paths}
    names = list(next(iter(contents.values()))["systems"])
    rows = {ORIGINAL: [content["anchors"][ORIGINAL] for content in contents.values()]}
    rows |= {name: [content["systems"][name] for content in contents.values()] for name in names}
    known = [one for one in SHOWN if any(scores.get(one) is not None for own in rows.values() for scores in own)]
    units = [f" ({METRICS[one].unit})" if METRICS[one].unit else "" for one in known]
    counts = sum(content["counts"]["utterances"] for content in contents.values())
    head = [f"{counts} recordings of {', '.join(contents)}", *(f"`{one}`{unit}" for one, unit in zip(known, units))]
    lines = ["| " + " | ".join([*head, "CPU s/s"]) + " |", "|---" * (len(head) + 1) + "|"]
    for name, scores in rows.items():
        cells = [mean(one, [each.get(one) for each in scores]) for one in known]
        lines.append("| " + " | ".join([name.replace("_", " "), *cells, cost(name, paths)]) + " |")
    return "\n".join([*lines, ""])


def mean(name: str, values: list[float | None]) -> str:
    found = [value for value in values if value is not None]
    return rounded(name, fmean(found)) if found else "-"


def cost(name: str, paths: list[Path]) -> str:
    """CPU seconds a second of sound, over all speakers."""
    reports = [path.resolve().parents[2] / "copies" / path.resolve().parent.name / f"{name}.json" for path in paths]
    found = [json.loads(report.read_text()) for report in reports if report.is_file()]
    seconds = sum(each["audio_seconds"] for each in found)
    return f"{sum(each['cpu_seconds'] for each in found) / seconds:.3f}" if seconds else "-"


if __name__ == "__main__":
    sys.exit(main())
