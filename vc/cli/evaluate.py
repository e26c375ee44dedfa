"""vc-evaluate: converted sets against the target's recordings -> table, metrics.json, report.html."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-evaluate"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Measure converted recordings against the target's, beside anchors that say what the figures are worth, and"
        " write\nOUTPUT/metrics.json and OUTPUT/report.html, a page to read and to listen to.",
        "A side is a data directory of one speaker or a folder, searched below. Recordings match by sentence: by\n"
        "utterance id without the speaker, or by path without ending; one ending of all names of a side, such as _gen of\n"
        "001_gen.wav, is left out where no name matches else. A NAME given twice is two runs of one system.\n\n"
        "examples:\n  vc-evaluate --converted converted"
        " --reference data/eval_TM3 --source data/eval_SF1 --model exp/SF1-TM3 --output results\n"
        "  vc-evaluate --converted old=a new=b new=c --reference data/eval_TM3 --source data/eval_SF1 --output results",
    )
    add = made.add_argument
    add("--converted", nargs="+", required=True, metavar="[NAME=]DIR", help="what is measured; any number of systems")
    add("--reference", type=Path, required=True, metavar="DIR", help="the target's own recordings")
    add("--source", type=Path, metavar="DIR", help="what was converted; gives the anchor 'unconverted'")
    add("--model", type=Path, metavar="M", help="with --source, gives the anchor 'mean_variance'")
    add("--to", metavar="SPEAKER", help="the target by its name in the model, where no data directory tells it")
    add("--from", dest="from_speaker", metavar="SPEAKER", help="the source likewise")
    add("--other-sentences", action="store_true", help="the reference's sentences are others, whatever they are called")
    common.add_match(made)
    add(
        "--measures",
        nargs="+",
        metavar="MEASURE",
        help="models of speech to ask: speaker, phones, quality (DNSMOS), mos (DistillMOS), or none (default: those"
        " installed); quality and mos take 0.3 CPU seconds and more, each, for a recording",
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
    return common.run(COMMAND, _work, made, argv)


def _work(args: argparse.Namespace) -> int:
    from vc import extras
    from vc.evaluate import Request, evaluate, format_table
    from vc.parallel import default_jobs
    from vc.report import write_report

    common.log_to_stderr(COMMAND)
    extras.ensure_numba_cache()
    systems = common.named_folders("--converted", args.converted)
    request = Request(
        systems,
        args.reference,
        args.source,
        args.model,
        args.other_sentences,
        args.match,
        [] if args.measures == ["none"] else args.measures,
        args.conventions,
        args.to,
        args.from_speaker,
    )
    evaluation = evaluate(request, args.output, args.jobs or default_jobs())
    write_report(evaluation, args.output / "report.html")
    for failure in evaluation.failures:
        common.report(COMMAND, failure)
    common.say(format_table(evaluation))
    common.say(f"{len(evaluation.sentences)} sentences measured, {len(evaluation.failures)} failed")
    common.say(f"{args.output / 'metrics.json'} and {args.output / 'report.html'} written")
    return 1 if evaluation.failures else 0
