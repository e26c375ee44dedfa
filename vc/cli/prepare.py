"""vc-prepare: folders of recordings -> data directory; or only check one."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-prepare"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Make a Kaldi data directory of FOLDER/<speaker>/**/<recording>, or check one.",
        "examples:\n  vc-prepare recordings data/train --include 'train/*'\n  vc-prepare --check data/train",
    )
    made.add_argument("folder", nargs="?", type=Path, help="folder that holds a folder for each speaker")
    made.add_argument("data", type=Path, help="data directory to write, or to check")
    made.add_argument("--check", action="store_true", help="only validate DATA: lists, recordings, levels, lengths")
    made.add_argument("--speakers", nargs="+", metavar="NAME", help="only these speakers (default: every folder)")
    made.add_argument(
        "--include", nargs="+", metavar="GLOB", help="only recordings whose path below the speaker's folder matches"
    )
    return common.run(COMMAND, _work, made, argv)


def _work(args: argparse.Namespace) -> int:
    from vc import corpus
    from vc.errors import ConfigError

    if args.check == (args.folder is not None):
        raise ConfigError("give FOLDER and DATA, or --check and DATA alone")
    if not args.check:
        corpus.write(args.data, corpus.from_folders(args.folder, args.speakers, args.include))
    faults = corpus.check(args.data)
    for fault in faults:
        common.report(COMMAND, fault)
    if faults:
        print(f"{args.data}: {len(faults)} faults")
        return 1
    utterances = corpus.read(args.data)
    counts = corpus.count_by_speaker(utterances)
    print(f"{args.data}: {len(utterances)} utterances, " + ", ".join(f"{who} {n}" for who, n in counts.items()))
    return 0
