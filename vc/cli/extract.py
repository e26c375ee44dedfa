"""vc-extract: extract features from a data directory."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-extract"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Extract F0 and mel-cepstra (or log-mel) from a data directory, with each speaker's statistics and F0 range.",
        "Without features.sample_rate, mel-cepstra are at the highest rate up to 22050 Hz whose band recordings fill.\n"
        "example:\n  vc-extract data/train dump/train --set features.sample_rate=16000",
    )
    parser.add_argument("data", type=Path, help="data directory")
    parser.add_argument("output", type=Path, help="features directory to write, or to complete after an interruption")
    common.add_config(parser)
    like_help = "take all settings from this features directory instead of --config and --set, for held-out recordings"
    parser.add_argument("--like", type=Path, metavar="FEATURES", help=like_help)
    parser.add_argument("--jobs", type=common.positive, help="processes (default: one per core)")
    parser.add_argument(
        "--f0-range",
        nargs=3,
        action="append",
        default=[],
        metavar=("SPEAKER", "FLOOR", "CEILING"),
        help="a speaker's F0 search range in Hz; may be repeated (default: estimated from loud, clearly voiced frames)",
    )
    return common.run(COMMAND, _work, parser, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.config import read_sections, require
    from vc.corpus.names import label
    from vc.features.extract import chosen_config, extract
    from vc.features.store import read_features
    from vc.parallel import default_jobs
    from vc.phrases import count

    common.log_to_stderr(COMMAND)
    jobs = args.jobs or default_jobs()
    if args.like:
        require(not (args.config or args.set), "--like provides all settings: leave --config and --set out")
        config = read_features(args.like).config
    else:
        config = chosen_config(read_sections(args.config, args.set).get("features", {}), args.data, jobs)
    ranges = {speaker: common.f0_range(floor, ceiling) for speaker, floor, ceiling in args.f0_range}
    report = extract(args.data, args.output, config, jobs, ranges)
    for failure in report.failures:
        common.report(COMMAND, failure)
    for id, speaker in report.speakers.items():
        f0, name = speaker.f0_range, label(id, speaker.name)
        if f0 is None:
            common.say(f"{name}: no F0: the recordings are whispered, and so will be conversions to {id}")
        else:
            common.say(f"{name}: F0 range {f0.floor:g} to {f0.ceiling:g} Hz" + (", as given" * speaker.f0_range_given))
    done = f"{count(report.done, 'utterance')}, {report.failed} failed"
    state = "nothing to do" if report.up_to_date else done
    common.say(f"{args.output}: {state}")
    return 1 if report.failures else 0
