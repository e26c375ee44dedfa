"""vc-listen: make a listening test, and score listeners' answers."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-listen"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Make a listening test, an HTML page that plays recordings and collects answers, and score the answers.",
        "examples:\n  vc-listen make --kind mos --converted ours=converted --reference data/eval_TM3"
        " --source data/eval_SF1 --output test\n  vc-listen make --kind abx --results results --output test\n"
        "  vc-listen score test/key.json answers_*.json --output scores.json",
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="make|score")
    make = steps.add_parser("make", help="make test.html and key.json from recordings")
    make.set_defaults(work=make_test)
    make.description = (
        "Write FOLDER/test.html, a self-contained page with the recordings at equal loudness, to give to listeners; and"
        " FOLDER/key.json, the key to its sounds, to keep."
    )
    kind_help = "mos: rate naturalness, 1 to 5, also of source and target; abx: which of two is closer to the target"
    make.add_argument("--kind", required=True, choices=("mos", "abx"), help=kind_help)
    help_converted = "converted recordings of each system"
    make.add_argument("--converted", action="extend", nargs="+", metavar="[NAME=]DIR", help=help_converted)
    make.add_argument("--reference", type=Path, metavar="DIR", help="the target's own recordings")
    make.add_argument(
        "--source", type=Path, metavar="DIR", help="the source's recordings, with which abx compares a single system"
    )
    make.add_argument(
        "--results", type=Path, metavar="DIR", help="output of vc-evaluate, in place of the three options above"
    )
    common.add_match(make)
    make.add_argument(
        "--sentences",
        type=common.positive,
        metavar="N",
        help="number of sentences, in addition to one for practice (default: 12, or all but one if there are fewer)",
    )
    make.add_argument(
        "--seed", type=int, default=0, help="random seed for the choice and order of sentences (default: 0)"
    )
    make.add_argument("--title", default="Listening test", help="heading of the page (default: %(default)s)")
    make.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="folder to write")
    score = steps.add_parser("score", help="score answers with key.json")
    score.set_defaults(work=score_answers)
    score.description = "Score the answers of several listeners; --output also writes the scores as JSON."
    score.add_argument("key", type=Path, metavar="KEY", help="key.json of the test")
    score.add_argument("answers", nargs="+", type=Path, metavar="ANSWERS", help="answer files, one per listener")
    score.add_argument("--output", type=Path, metavar="JSON", help="file to write")
    score.add_argument("--partial", action="store_true", help="accept incomplete answers")
    return common.run(COMMAND, lambda args: args.work(args), parser, argv)


def make_test(args: argparse.Namespace) -> int:
    """Write the page of a listening test and its key; return the exit status."""
    from vc.errors import ConfigError
    from vc.listening import kit
    from vc.phrases import count

    common.log_to_stderr(COMMAND)
    if args.results:
        if any((args.converted, args.reference, args.source)):
            raise ConfigError("--results provides the folders: leave --converted, --reference and --source out")
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
    common.say(f"{args.output / 'test.html'} written: give it to listeners; it takes about {test.duration}")
    common.say(f"{args.output / 'key.json'} written: keep it for scoring the answers")
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
