"""vc-evaluate: converted sets against the target's recordings -> table, metrics.json, report.html."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-evaluate"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Measure converted recordings against the target's, beside anchors that say what the figures are worth, and"
        " write\nOUTPUT/metrics.json and OUTPUT/report.html, a page to read and to listen to.",
        "A side is a data directory of one speaker or a folder, searched below. Recordings match by sentence: by\n"
        "utterance id without the speaker, or by path without ending; where no name of a side matches, without\n"
        "one ending of them all, such as _gen of 001_gen.wav. A NAME given twice is two runs of one system.\n\n"
        "examples:\n  vc-evaluate --converted converted"
        " --reference data/eval_TM3 --source data/eval_SF1 --model exp/SF1-TM3 --output results\n"
        "  vc-evaluate --converted old=a new=b new=c --reference data/eval_TM3 --source data/eval_SF1 --output both\n"
        "  vc-evaluate --pairs exp/*/evaluation/* --output all",
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--converted", nargs="+", metavar="[NAME=]DIR", help="what is measured; any number of systems")
    what.add_argument(
        "--pairs",
        nargs="+",
        type=Path,
        metavar="RESULTS",
        help="what was measured before, of many pairs of speakers: write one page about them, OUTPUT/report.html",
    )
    add("--reference", type=Path, metavar="DIR", help="the target's own recordings, which --converted needs")
    add("--source", type=Path, metavar="DIR", help="what was converted; gives the anchor 'unconverted'")
    add("--model", type=Path, metavar="M", help="with --source, gives the anchor 'mean_variance'")
    add("--to", metavar="SPEAKER", help="the target by its name in the model, where no data directory tells it")
    add("--from", dest="from_speaker", metavar="SPEAKER", help="the source likewise")
    add("--other-sentences", action="store_true", help="the reference's sentences are others, whatever they are called")
    common.add_match(parser)
    add(
        "--measures",
        nargs="+",
        metavar="MEASURE",
        help="models of speech to ask: speaker, content (the carried encoder), phones, quality (DNSMOS), mos"
        " (DistillMOS), wer=PATH (word errors by your own Whisper, a folder of transformers), or none (default: those"
        " installed, without wer); quality and mos take 0.3 CPU seconds and more, each, for a recording",
    )
    add(
        "--conventions",
        nargs="+",
        default=[],
        metavar="TOOLKIT",
        help="distortion also as measured by sprocket, seq2seq-vc, parallel-wavegan, crank",
    )
    add("--output", type=Path, required=True, metavar="DIR", help="folder to write, made if missing")
    add("--jobs", type=common.positive, metavar="N", help="processes (default: one a core)")
    return common.run(COMMAND, _work, parser, argv)


def _work(args: argparse.Namespace) -> int:
    from vc import extras
    from vc.errors import ConfigError
    from vc.evaluate import Request, evaluate, format_table
    from vc.parallel import default_jobs
    from vc.phrases import count
    from vc.report import write_pairs, write_report

    common.log_to_stderr(COMMAND)
    if args.pairs:
        others = (args.reference, args.source, args.model, args.to, args.from_speaker, args.measures, args.match)
        if any(others) or args.other_sentences or args.conventions:
            raise ConfigError("--pairs measures nothing anew: of the other options it takes --output alone")
        page = args.output / "report.html"
        common.say(write_pairs(args.pairs, page))
        common.say(f"{count(len(args.pairs), 'evaluation')} on one page: {page.absolute().as_uri()}")
        return 0
    if not args.reference:
        raise ConfigError("--converted needs --reference, the target's own recordings")
    extras.ensure_numba_cache()
    systems = common.named_folders("--converted", args.converted)
    request = Request(
        systems,
        args.reference,
        source=args.source,
        model=args.model,
        other_sentences=args.other_sentences,
        match=args.match,
        measures=[] if args.measures == ["none"] else args.measures,
        conventions=args.conventions,
        to=args.to,
        source_speaker=args.from_speaker,
    )
    evaluation = evaluate(request, args.output, jobs=args.jobs or default_jobs())
    write_report(evaluation, args.output / "report.html")
    for failure in evaluation.failures:
        common.report(COMMAND, failure)
    common.say(format_table(evaluation))
    common.say(f"{count(len(evaluation.sentences), 'sentence')} measured, {len(evaluation.failures)} failed")
    common.say(f"{args.output / 'metrics.json'} and {args.output / 'report.html'} written")
    return 1 if evaluation.failures else 0
