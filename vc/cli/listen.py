"""vc-listen: converted recordings -> a listening test in one page; listeners' answers -> scores."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-listen"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Ask people: make a page that plays recordings and collects answers, and score what they send back.",
        "examples:\n  vc-listen make --kind mos --converted ours=converted --reference data/eval_TM3"
        " --source data/eval_SF1 --output test\n  vc-listen make --kind abx --results results --output test\n"
        "  vc-listen score test/key.json answers_*.json --output scores.json",
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="make|score")
    make = steps.add_parser("make", allow_abbrev=False, help="folders of recordings -> test.html and key.json")
    make.set_defaults(work=make_test)
    make.description = (
        "Write FOLDER/test.html, which holds the recordings at one loudness and needs no network: give it to"
        " listeners; and FOLDER/key.json, which says what is what: keep it."
    )
    kind_help = "mos: how natural, 1 to 5, source and target among the rest; abx: which of two is nearer to the target"
    make.add_argument("--kind", required=True, choices=("mos", "abx"), help=kind_help)
    make.add_argument("--converted", nargs="+", metavar="[NAME=]DIR", help="each system's recordings")
    make.add_argument("--reference", type=Path, metavar="DIR", help="the target's own recordings")
    make.add_argument("--source", type=Path, metavar="DIR", help="the source's; what abx compares a single system with")
    make.add_argument("--results", type=Path, metavar="DIR", help="what vc-evaluate wrote; says the three above")
    common.add_match(make)
    make.add_argument(
        "--sentences",
        type=common.positive,
        metavar="N",
        help="how many, and one for practice (default: 12, or all but one where there are fewer)",
    )
    make.add_argument("--seed", type=int, default=0, help="which sentences, and their order in the file")
    make.add_argument("--title", default="Listening test", help="heading, which listeners see")
    make.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write, made if missing")
    score = steps.add_parser("score", allow_abbrev=False, help="key.json and answers -> scores")
    score.set_defaults(work=score_answers)
    score.description = "Print, and with --output write as JSON, what the answers of several listeners say."
    score.add_argument("key", type=Path, metavar="KEY", help="key.json of the test")
    score.add_argument("answers", nargs="+", type=Path, metavar="ANSWERS", help="files that listeners sent, one each")
    score.add_argument("--output", type=Path, metavar="JSON", help="file to write")
    score.add_argument("--partial", action="store_true", help="take files with answers to a part of the items, too")
    return common.run(COMMAND, lambda args: args.work(args), parser, argv)


def make_test(args: argparse.Namespace) -> int:
    """Write the page of a listening test and its key; return the exit status."""
    from vc.errors import ConfigError
    from vc.listening import kit
    from vc.phrases import count

    common.log_to_stderr(COMMAND)
    if args.results:
        if any((args.converted, args.reference, args.source)):
            raise ConfigError("--results says which folders: leave --converted, --reference and --source out")
        folders = kit.from_results(args.results)
    elif args.converted and args.reference:
        folders = kit.Folders(common.named_folders("--converted", args.converted), args.reference, args.source)
    else:
        raise ConfigError("give --converted and --reference, or --results")
    test = kit.make(args.kind, folders, sentences=args.sentences, seed=args.seed, pattern=args.match)
    kit.write(test, folders, args.title, args.output)
    common.say(
        f"{count(len(test.items), 'item')} of {count(test.sentences, 'sentence')}, {test.rate} Hz,"
        f" {test.level:.1f} dB of full scale"
    )
    common.say(f"{args.output / 'test.html'} written: give it to listeners, about {test.duration} each")
    common.say(f"{args.output / 'key.json'} written: keep it, and score what comes back with it")
    return 0


def score_answers(args: argparse.Namespace) -> int:
    """Score the files that listeners sent; return the exit status."""
    import json

    from vc.errors import DataError
    from vc.files import write_text
    from vc.listening.formats import read_key
    from vc.listening.score import collect, format_table, score
    from vc.phrases import count

    key = read_key(args.key)
    answers, failures = collect(args.answers, key, partial=args.partial)
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
