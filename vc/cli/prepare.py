"""vc-prepare: folders of recordings, or another data directory -> data directory; or check or mend one."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-prepare"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Make a Kaldi data directory of FOLDER/<speaker>/**/<recording> or of another data directory, or check one.",
        "Recordings are of any length, rate and name: wav, flac, mp3, ogg, opus and what else libsndfile reads, and\n"
        "with ffmpeg on PATH m4a, aac, wma and the sound of video. What is left out is named with its reason.\n\n"
        "examples:\n  vc-prepare recordings data/train --include 'train/*'\n  vc-prepare --check data/train\n"
        "  vc-prepare data/train data/few --speakers anna --first 10\n"
        "  vc-prepare data/train data/train_split --split 4",
    )
    made.add_argument(
        "folder", nargs="?", type=Path, help="folder that holds a folder for each speaker; or a data directory"
    )
    made.add_argument("data", type=Path, help="data directory to write, to check or to mend")
    mode = made.add_mutually_exclusive_group()
    check_help = "only validate DATA: lists, recordings, lengths, and what differs between speakers' recordings"
    mode.add_argument("--check", action="store_true", help=check_help)
    fix_help = "sort DATA's lists and drop utterances that are unusable; the lists before stay in DATA/.backup"
    mode.add_argument("--fix", action="store_true", help=fix_help)
    made.add_argument("--speakers", nargs="+", metavar="NAME", help="only these speakers, by name or id (default: all)")
    made.add_argument(
        "--include",
        nargs="+",
        metavar="GLOB",
        help="only recordings whose path below the speaker's folder matches; of a data directory, whose id matches",
    )
    made.add_argument("--first", type=common.positive, metavar="N", help="only the first N utterances of each speaker")
    made.add_argument("--split", type=common.positive, metavar="N", help="N parts of equal size: DATA/1 to DATA/N")
    cut_help = "cut recordings of more than 12 s at pauses, into pieces in DATA/recordings"
    made.add_argument("--cut", action="store_true", help=cut_help)
    pipes_help = "run the commands in FOLDER's wav.scp, once, and keep what they print in DATA/recordings"
    made.add_argument("--allow-pipes", action="store_true", help=pipes_help)
    return common.run(COMMAND, _work, made, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.errors import ConfigError
    from vc.validate import fix

    common.log_to_stderr(COMMAND)
    if (args.check or args.fix) == (args.folder is not None):
        raise ConfigError("give FOLDER and DATA, or --check or --fix and DATA alone")
    chosen = {"--speakers": args.speakers, "--include": args.include, "--first": args.first, "--split": args.split}
    chosen |= {"--cut": args.cut or None}
    given = [option for option, value in {**chosen, "--allow-pipes": args.allow_pipes or None}.items() if value]
    if args.folder is None and given:
        raise ConfigError(f"{', '.join(given)}: only where a FOLDER is made into DATA")
    if args.fix:
        kept, before = fix(args.data)
        common.say(f"{args.data}: {kept} of {before} utterances kept")
    written = _write(args) if args.folder else [args.data]
    return max(map(_report, written))


def _write(args: argparse.Namespace) -> list[Path]:
    """The data directories that are asked for."""
    from vc import corpus, prepare
    from vc.errors import ConfigError
    from vc.files import inside

    text: dict[str, str] = {}
    if corpus.is_data_directory(args.folder):
        if args.folder.resolve() == args.data.resolve():
            raise ConfigError(f"{args.data}: would be written over itself")
        utterances, text = prepare.from_data(args.folder, args.data, args.allow_pipes)
        utterances = prepare.choose(utterances, args.speakers, args.include, args.first)
    else:
        if args.allow_pipes:
            raise ConfigError(f"--allow-pipes: {args.folder} is no data directory, so that it lists no commands")
        found = prepare.from_folders(args.folder, args.speakers, args.include)
        utterances = prepare.choose(found, first=args.first)
    utterances = prepare.cut(utterances, args.data) if args.cut else utterances
    utterances = prepare.linked(utterances, args.data)
    if args.split is None:
        corpus.write(args.data, utterances, text)
        return [args.data]
    places = [inside(args.data, str(number)) for number in range(1, args.split + 1)]
    for place, part in zip(places, prepare.split(utterances, args.split), strict=True):
        corpus.write(place, part, text)
    return places


def _report(data: Path) -> int:
    """Say what is wrong with a data directory, or what is in it."""
    from vc import corpus
    from vc.names import shown
    from vc.phrases import count
    from vc.validate import check

    findings = check(data)
    for warning in findings.warnings:
        common.warn(COMMAND, warning)
    for fault in findings.faults:
        common.report(COMMAND, fault)
    if findings.faults:
        common.say(f"{data}: {count(len(findings.faults), 'fault')}")
        return 1
    utterances = corpus.read(data)
    called = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    counts = [f"{shown(who, called[who])} {n}" for who, n in corpus.count_by_speaker(utterances).items()]
    common.say(f"{data}: {count(len(utterances), 'utterance')}, {', '.join(counts)}")
    return 0
