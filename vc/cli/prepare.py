"""vc-prepare: make a data directory from folders of recordings or from another one; check or repair one."""

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-prepare"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Make a Kaldi data directory from FOLDER/<speaker>/**/<recording> or another data directory, or check one.",
        "Recordings may have any length, sample rate and name: wav, flac, mp3, ogg, opus and others that libsndfile\n"
        "reads and, with ffmpeg on PATH, m4a, aac, wma and the audio of video. Skipped files are reported with the\n"
        "reason.\n\n"
        "examples:\n  vc-prepare recordings data/train --include 'train/*'\n  vc-prepare --check data/train\n"
        "  vc-prepare data/train data/few --speakers anna --first 10\n"
        "  vc-prepare data/train data/train_split --split 4",
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, help="folder with a subfolder for each speaker, or a data directory"
    )
    parser.add_argument("data", type=Path, help="data directory to write, check or repair")
    mode = parser.add_mutually_exclusive_group()
    check_help = "only validate DATA: lists, recordings, lengths, and differences between speakers' recordings"
    mode.add_argument("--check", action="store_true", help=check_help)
    fix_help = "sort DATA's lists and drop unusable utterances; the previous lists are kept in DATA/.backup"
    mode.add_argument("--fix", action="store_true", help=fix_help)
    parser.add_argument(
        "--speakers",
        action="extend",
        nargs="+",
        metavar="NAME",
        help="only these speakers, by name or id (default: all)",
    )
    parser.add_argument(
        "--include",
        action="extend",
        nargs="+",
        metavar="GLOB",
        help="only recordings whose path in the speaker's folder (in a data directory: whose id) matches",
    )
    parser.add_argument(
        "--first", type=common.positive, metavar="N", help="only the first N utterances of each speaker"
    )
    parser.add_argument(
        "--split", type=common.positive, metavar="N", help="split into N parts of equal size, DATA/1 to DATA/N"
    )
    cut_help = "cut recordings longer than 12 s at pauses, into pieces in DATA/recordings, which have no transcripts"
    parser.add_argument("--cut", action="store_true", help=cut_help)
    pipes_help = "run the commands in FOLDER's wav.scp, once, and store their output in DATA/recordings"
    parser.add_argument("--allow-pipes", action="store_true", help=pipes_help)
    return common.run(COMMAND, _work, parser, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.corpus.check import fix
    from vc.errors import ConfigError

    common.log_to_stderr(COMMAND)
    if (args.check or args.fix) == (args.folder is not None):
        raise ConfigError("give FOLDER and DATA, or --check or --fix and DATA alone")
    options = {"--speakers": args.speakers, "--include": args.include, "--first": args.first, "--split": args.split}
    options |= {"--cut": args.cut, "--allow-pipes": args.allow_pipes}
    excluded = [option for option, value in options.items() if value]
    if args.folder is None and excluded:
        raise ConfigError(f"{', '.join(excluded)}: only with FOLDER and DATA")
    if args.fix:
        kept, before = fix(args.data)
        common.say(f"{args.data}: {kept} of {before} utterances kept")
    return max(report(data, fixed=args.fix) for data in (write(args) if args.folder else [args.data]))


def write(args: argparse.Namespace) -> list[Path]:
    """Write the data directories that the arguments describe, and return their paths."""
    from vc.corpus import data_directory, prepare
    from vc.errors import ConfigError
    from vc.files import path_inside

    text: dict[str, str] = {}
    if data_directory.is_data_directory(args.folder):
        if args.folder.resolve() == args.data.resolve():
            raise ConfigError(f"{args.data}: would overwrite itself")
        utterances, text = prepare.from_data(args.folder, args.data, allow_pipes=args.allow_pipes)
        utterances = prepare.choose(utterances, args.speakers, include=args.include, first=args.first)
    else:
        if args.allow_pipes:
            raise ConfigError(f"--allow-pipes: {args.folder} is not a data directory, which could list commands")
        utterances = prepare.from_folders(args.folder, args.speakers, include=args.include, output=args.data)
        utterances = prepare.choose(utterances, first=args.first)
    utterances = prepare.cut(utterances, args.data) if args.cut else utterances
    utterances = prepare.link_line_breaks(utterances, args.data)
    if args.split is None:
        data_directory.write(args.data, utterances, text)
        return [args.data]
    parts = [path_inside(args.data, str(number)) for number in range(1, args.split + 1)]
    for path, part in zip(parts, prepare.split(utterances, args.split), strict=True):
        data_directory.write(path, part, text)
    return parts


def report(data: Path, *, fixed: bool) -> int:
    """Print the errors in a data directory, or a summary of it; return the exit status.

    `fixed` says that the lists have just been repaired, so that --fix is not recommended again.
    """
    from vc.corpus import data_directory
    from vc.corpus.check import check
    from vc.corpus.names import label
    from vc.phrases import count

    findings = check(data)
    for warning in findings.warnings:
        common.warn(COMMAND, warning)
    for fault in findings.faults:
        common.report(COMMAND, fault)
    if findings.faults:
        advice = f"; vc-prepare --fix {shlex.quote(str(data))} drops unusable utterances"
        common.say(f"{data}: {count(len(findings.faults), 'error')}{'' if fixed else advice}")
        return 1
    utterances = data_directory.read(data)
    names = {utterance.speaker: utterance.speaker_name for utterance in utterances}
    counts = [f"{label(id, names[id])} {n}" for id, n in data_directory.count_by_speaker(utterances).items()]
    common.say(f"{data}: {count(len(utterances), 'utterance')}, {', '.join(counts)}")
    return 0
