"""vc-evaluate: measure converted recordings; writes a table, metrics.json and report.html."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-evaluate"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Measure converted recordings against the target's own, with anchors that give the figures a scale, and write\n"
        "OUTPUT/metrics.json and OUTPUT/report.html, a page with audio.",
        "Each DIR is a data directory of one speaker, or a folder with its subfolders. Recordings are matched by\n"
        "sentence: by utterance id without the speaker, or by path without suffix; if no name of a folder matches, a\n"
        "common ending such as _gen in 001_gen.wav is ignored. A NAME given twice means two runs of one system.\n\n"
        "examples:\n  vc-evaluate --converted converted"
        " --reference data/eval_TM3 --source data/eval_SF1 --model exp/SF1-TM3 --output results\n"
        "  vc-evaluate --converted old=a new=b new=c --reference data/eval_TM3 --source data/eval_SF1 --output both\n"
        "  vc-evaluate --pairs exp/*/evaluation/* --output all",
    )
    add = parser.add_argument
    subject = parser.add_mutually_exclusive_group(required=True)
    help_converted = "converted recordings of one or more systems"
    subject.add_argument("--converted", action="extend", nargs="+", metavar="[NAME=]DIR", help=help_converted)
    subject.add_argument(
        "--pairs",
        action="extend",
        nargs="+",
        type=Path,
        metavar="RESULTS",
        help="outputs of earlier evaluations, for example of many speaker pairs: write one page for all of them,"
        " OUTPUT/report.html",
    )
    add("--reference", type=Path, metavar="DIR", help="the target's own recordings, required with --converted")
    add("--source", type=Path, metavar="DIR", help="the unconverted recordings, for the anchor 'unconverted'")
    add("--model", type=Path, metavar="M", help="model, for the anchor 'mean_variance'; needs --source")
    add("--to", metavar="SPEAKER", help="the target's name in the model, if --reference is not a data directory")
    add("--from", dest="from_speaker", metavar="SPEAKER", help="the source's name, likewise")
    add("--other-sentences", action="store_true", help="the reference has other sentences, whatever their names")
    common.add_match(parser)
    add(
        "--measures",
        action="extend",
        nargs="+",
        metavar="MEASURE",
        help="speech models to use: speaker, content (by distilled), phones, quality (DNSMOS), mos (DistillMOS),"
        " utmos=PATH (UTMOS, with its weights as SpeechMOS publishes them), wer=PATH (word errors by a Whisper of your"
        " own in transformers format), or none (default: all installed, without utmos and wer); quality and mos take at"
        " least 0.3 CPU seconds each per recording",
    )
    add(
        "--conventions",
        action="extend",
        nargs="+",
        default=[],
        metavar="TOOLKIT",
        help="also compute distortion by the conventions of sprocket, seq2seq-vc, parallel-wavegan, crank",
    )
    add("--output", type=Path, required=True, metavar="DIR", help="folder to write")
    add(
        "--cache",
        type=Path,
        metavar="DIR",
        help="keep here what speech models say of each recording, and take it from here, so that other conversions"
        " between the same speakers are measured faster (default: not kept)",
    )
    add("--jobs", type=common.positive, metavar="N", help="processes (default: one per core)")
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
        if any((*others, args.other_sentences, args.conventions, args.cache)):
            raise ConfigError("--pairs measures nothing: the only other option that it takes is --output")
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
        cache=args.cache,
    )
    evaluation = evaluate(request, args.output, jobs=args.jobs or default_jobs())
    write_report(evaluation, args.output / "report.html")
    for failure in evaluation.failures:
        common.report(COMMAND, failure)
    common.say(format_table(evaluation))
    common.say(f"{count(len(evaluation.sentences), 'sentence')} measured, {len(evaluation.failures)} failed")
    common.say(f"{args.output / 'metrics.json'} and {args.output / 'report.html'} written")
    return 1 if evaluation.failures else 0
