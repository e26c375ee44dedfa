"""vc-train: features of two speakers -> model file."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-train"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Train a speaker pair. The same command goes on with a run that was stopped.",
        "example:\n  vc-train --config recipes/pair/conf/cyclegan_vc2_narrow.yaml --features dump/train"
        " --source SF1 --target TM3 --output exp/SF1-TM3",
    )
    common.add_config(made, required=True)
    made.add_argument("--features", type=Path, required=True, help="features directory of both speakers")
    made.add_argument("--source", required=True, metavar="SPEAKER")
    made.add_argument("--target", required=True, metavar="SPEAKER")
    made.add_argument("--output", type=Path, required=True, help="experiment directory")
    made.add_argument(
        "--held-out",
        type=Path,
        help="features directory of utterances that training does not see: the best model is kept",
    )
    made.add_argument("--validation", type=Path, help="data directory of recordings to convert at intervals")
    made.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    made.add_argument("--estimate", action="store_true", help="only say how long it will take; nothing is written")
    return common.run(COMMAND, _work, made, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.config import read_sections
    from vc.train.pair import train
    from vc.train.request import Request

    common.log_to_stderr(COMMAND)
    sections = read_sections(args.config, args.set)
    places = (args.features, args.source, args.target, args.output)
    request = Request(*places, sections, args.held_out, args.validation, args.device)
    if args.estimate:
        from vc.train.estimate import estimate

        said = estimate(request)
    else:
        said = f"{args.output}: step {train(request)}, 1 model"
    if common.first_process():
        print(said)
    return 0
