"""vc-listen: converted recordings -> a listening test in one page; listeners' answers -> scores."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-listen"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Ask people: make a page that plays recordings and collects answers, and score what they send back.",
        "examples:\n  vc-listen make --kind mos --converted ours=converted --reference data/eval_TM3"
        " --source data/eval_SF1 --output test\n  vc-listen make --kind abx --results results --output test\n"
        "  vc-listen score test/key.json answers_*.json --output scores.json",
    )
    steps = made.add_subparsers(dest="step", required=True, metavar="make|score")
    _add_make(steps.add_parser("make", allow_abbrev=False, help="folders of recordings -> test.html and key.json"))
    _add_score(steps.add_parser("score", allow_abbrev=False, help="key.json and answers -> scores"))
    return common.run(COMMAND, lambda args: (_make if args.step == "make" else _score)(args), made, argv)


def _add_make(made: argparse.ArgumentParser) -> None:
    made.description = (
        "Write FOLDER/test.html, which holds the recordings at one loudness and needs no network: give it to"
        " listeners; and FOLDER/key.json, which says what is what: keep it."
    )
    kind_help = "mos: how natural, 1 to 5, source and target among the rest; abx: which of two is nearer to the target"
    made.add_argument("--kind", required=True, choices=("mos", "abx"), help=kind_help)
    made.add_argument("--converted", nargs="+", metavar="[NAME=]DIR", help="each system's recordings")
    made.add_argument("--reference", type=Path, metavar="DIR", help="the target's own recordings")
    made.add_argument("--source", type=Path, metavar="DIR", help="the source's; what abx compares a single system with")
    made.add_argument("--results", type=Path, metavar="DIR", help="what vc-evaluate wrote; says the three above")
    common.add_match(made)
    made.add_argument(
        "--sentences",
        type=common.positive,
        metavar="N",
        help="how many, and one for practice (default: 12, or all but one where there are fewer)",
    )
    made.add_argument("--seed", type=int, default=0, help="which sentences, and their order in the file")
    made.add_argument("--title", default="Listening test", help="heading, which listeners see")
    made.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write, made if missing")


def _add_score(made: argparse.ArgumentParser) -> None:
    made.description = "Print, and with --output write as JSON, what the answers of several listeners say."
    made.add_argument("key", type=Path, metavar="KEY", help="key.json of the test")
    made.add_argument("answers", nargs="+", type=Path, metavar="ANSWERS", help="files that listeners sent, one each")
    made.add_argument("--output", type=Path, metavar="JSON", help="file to write")
    made.add_argument("--partial", action="store_true", help="take files with answers to a part of the items, too")


def _make(args: argparse.Namespace) -> int:
    from vc.listening import kit, page
    from vc.phrases import count

    common.log_to_stderr(COMMAND)
    folders = _folders(args)
    made = kit.make(args.kind, folders, args.sentences, args.seed, args.match)
    page.write(made, folders, args.title, args.output)
    common.say(
        f"{count(len(made.items), 'item')} of {count(made.sentences, 'sentence')}, {made.rate} Hz,"
        f" {made.level:.1f} dB of full scale"
    )
    common.say(f"{args.output / 'test.html'} written: give it to listeners, about {made.duration} each")
    common.say(f"{args.output / 'key.json'} written: keep it, and score what comes back with it")
    return 0


def _folders(args: argparse.Namespace) -> "Folders":  # noqa: F821
    from vc.errors import ConfigError
    from vc.listening.kit import Folders, from_results

    given = (args.converted, args.reference, args.source)
    if args.results and any(given):
        raise ConfigError("--results says which folders: leave --converted, --reference and --source out")
    if args.results:
        return from_results(args.results)
    if not args.converted or not args.reference:
        raise ConfigError("give --converted and --reference, or --results")
    return Folders(common.named_folders("--converted", args.converted), args.reference, args.source)


def _score(args: argparse.Namespace) -> int:
    import json

    from vc.errors import DataError
    from vc.files import write_text
    from vc.listening.formats import read_key
    from vc.listening.score import collect, format_table, score
    from vc.phrases import count

    key = read_key(args.key)
    answers, failures = collect(args.answers, key, args.partial)
    if not answers:
        raise DataError(*failures)
    figures = score(key, answers, failures)
    for failure in failures:
        common.report(COMMAND, failure)
    common.say(format_table(figures))
    common.say(f"{count(len(answers), 'listener')} scored, {count(len(failures), 'file')} failed")
    if args.output:
        write_text(args.output, json.dumps(figures, indent=1, allow_nan=False) + "\n")
        common.say(f"{args.output} written")
    return 1 if failures else 0
