#!/usr/bin/env python3
"""Evaluations of copy-synthesis -> one Markdown table: how each vocoder and setting sounds, and what it costs.

    vocoders.py evaluation/*/metrics.json                            prints it, means over the speakers
    vocoders.py --into RESULTS.md --name vcc2016 evaluation/*/metrics.json

writes it into RESULTS.md, between the lines `<!-- results: vcc2016 -->` and `<!-- end -->`. The cost is what
`vc-vocoder copy --report` said of copies/SPEAKER/SYSTEM.json, beside the folder evaluation/.
"""

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import systems

from vc.config import read_json
from vc.errors import DataError

SHOWN = ("distillmos", "dnsmos", "speaker_similarity", "phone_error", "mcd", "gv_ratio", "log_f0_rmse", "voicing_error")
ORIGINAL = "reference"


def table(args: Namespace) -> str:
    """A row for each system, the recordings themselves first; the last column is CPU seconds a second of sound."""
    contents = systems.read(args.metrics)
    rows = [ORIGINAL, *systems.converted([*contents.values()])]
    counts = sum(content["counts"]["utterances"] for content in contents.values())
    head = f"{counts} recordings of {', '.join(contents)}"
    return systems.table(head, list(contents.values()), rows, SHOWN, {"CPU s/s": partial(cost, args.metrics)})


def cost(paths: list[Path], name: str) -> str:
    """CPU seconds a second of sound, over all speakers."""
    reports = [path.resolve().parents[2] / "copies" / path.resolve().parent.name / f"{name}.json" for path in paths]
    cpu_seconds = audio_seconds = 0.0
    for report in filter(Path.is_file, reports):
        try:
            content = read_json(report)
            cpu_seconds += content["cpu_seconds"]
            audio_seconds += content["audio_seconds"]
        except (KeyError, TypeError) as error:
            raise DataError(f"{report}: not a report of vc-vocoder copy") from error
    return f"{cpu_seconds / audio_seconds:.3f}" if audio_seconds else "-"


if __name__ == "__main__":
    sys.exit(systems.main(__doc__, table))
