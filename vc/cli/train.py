"""vc-train: features of speakers -> model file."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-train"
UNTOLD = (
    "training.steps is 400,000 by default, which suits other networks: give --config"
    " recipes/target/conf/recognition_synthesis.yaml, which has 400, or --set training.steps=N"
)


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0].partition("=")[0] == "--method" and len(words) <= 2:
        asked = common.parser(COMMAND, "Describe a method, or list all.")
        asked.add_argument("--method", nargs="?", default="")
        return common.run(COMMAND, _describe, asked, words)
    return common.run(COMMAND, _work, _parser(), argv)


def _parser() -> argparse.ArgumentParser:
    made = common.parser(
        COMMAND,
        "Train a speaker pair, one target for any source, or one network for many speakers."
        " The same command goes on with a run that was stopped.",
        "examples:\n  vc-train --config recipes/pair/conf/cyclegan_vc2_narrow.yaml --features dump/train"
        " --source SF1 --target TM3 --output exp/SF1-TM3\n"
        "  vc-train --config recipes/many/conf/stargan_vc2_narrow.yaml --features dump/train"
        " --speakers SF1 SM1 TF2 TM3 --output exp/four\n"
        "  vc-train --config recipes/target/conf/recognition_synthesis.yaml --features dump/train"
        " --target TM3 --output exp/TM3",
    )
    common.add_config(made)
    made.add_argument(
        "--method",
        metavar="NAME",
        help="in place of the configuration's; --method alone lists all methods, --method NAME alone describes one",
    )
    made.add_argument("--features", type=Path, required=True, help="features directory of the speakers")
    made.add_argument("--source", metavar="SPEAKER", help="of a pair; a training run serves both ways")
    made.add_argument("--target", metavar="SPEAKER", help="of a pair; alone where the method needs no source")
    made.add_argument("--speakers", nargs="+", metavar="SPEAKER", help="in place of both: all that one network serves")
    made.add_argument("--output", type=Path, required=True, help="experiment directory")
    made.add_argument(
        "--held-out",
        type=Path,
        help="features directory of utterances that training does not see: the best model is kept",
    )
    made.add_argument(
        "--add-to",
        type=Path,
        metavar="MODEL",
        help="add the last of --speakers to this model, whose others stay as they are; --features has all of them",
    )
    made.add_argument("--validation", type=Path, help="data directory of recordings to convert at intervals")
    made.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    made.add_argument("--estimate", action="store_true", help="only say how long it will take; nothing is written")
    return made


def _work(args: argparse.Namespace) -> int:
    from vc.config import flat, read_sections, require
    from vc.errors import ConfigError
    from vc.train.converter import train
    from vc.train.request import Request

    common.log_to_stderr(COMMAND)
    if not (args.config or args.method):
        raise ConfigError("give --config or --method; vc-train --method lists the methods")
    sections = read_sections(args.config, args.set)
    if args.method:
        sections["method"] = args.method
        endless = args.method == "recognition_synthesis" and not args.config and "training.steps" not in flat(sections)
        require(not endless, f"--method {args.method}: {UNTOLD}")
    request = Request(
        args.features,
        _speakers(args),
        args.output,
        sections,
        args.held_out,
        args.validation,
        args.add_to,
        args.device,
    )
    if args.estimate:
        from vc.train.estimate import estimate

        said = estimate(request)
    else:
        said = f"{args.output}: step {train(request)}, 1 model"
    if common.first_process():
        common.say(said)
    return 0


def _describe(args: argparse.Namespace) -> int:
    from vc.train.methods import described

    common.say(described(args.method or ""))
    return 0


def _speakers(args: argparse.Namespace) -> tuple[str, ...]:
    from vc.errors import ConfigError

    pair = (args.source, args.target)
    if bool(args.speakers) == any(pair) or (args.source and not args.target):
        raise ConfigError("give --source and --target, --target alone where a method needs no source, or --speakers")
    return tuple(args.speakers or filter(None, pair))
