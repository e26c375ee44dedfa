"""vc-convert: recordings -> converted recordings."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-convert"
MOST_JOBS = 4  # without --jobs: each thread takes memory for a piece
METHOD_HELP = "world: analysis and synthesis (default); diff: the recording itself, filtered, F0 kept: for like voices"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Convert recordings with a trained model: files, folders (searched below), or - for standard input.",
        "Recordings are of any length, rate and name: what libsndfile reads; with ffmpeg on PATH m4a, wma, video.\n"
        "examples:\n  vc-convert --model exp/SF1-TM3 speech.wav --output converted.wav\n"
        "  vc-convert --model six_voices --to TM1 speech.wav --output converted.wav\n"
        "  vc-convert --model exp/SF1-TM3 --to SF1 recordings --output converted\n"
        "  vc-convert --model exp/SF1-TM3 - --output - < speech.flac > converted.wav\n"
        "exit status: 0 all converted, 1 some failed, 2 wrong usage or a bad model",
    )
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="recording, folder, or -")
    parser.add_argument(
        "--model", required=True, help=f"{common.MODEL_HELP}, or six_voices, which comes with the package"
    )
    common.add_direction(parser)
    parser.add_argument("--scp", type=Path, metavar="WAV.SCP", help="list of recordings: an id and a path a line")
    parser.add_argument("--output", help="of one recording: a file or -; else a folder (default: converted/)")
    parser.add_argument("--method", choices=("world", "diff"), default="world", help=METHOD_HELP)
    parser.add_argument("--vocoder", help=f"{common.VOCODER_HELP}; default: what goes with the model's features")
    parser.add_argument("--f0-shift", type=float, default=0.0, metavar="SEMITONES", help="higher (or lower, below 0)")
    parser.add_argument(
        "--f0-scale", type=float, default=1.0, metavar="FACTOR", help="livelier melody above 1, flatter below"
    )
    parser.add_argument(
        "--f0-range",
        nargs=2,
        metavar=("FLOOR", "CEILING"),
        help="where the recordings' F0 lies, in Hz (default: found)",
    )
    parser.add_argument("--keep-f0", action="store_true", help="the source's F0 instead of the map to the target's")
    help_jobs = f"threads (default: one a core, {MOST_JOBS} at most)"
    parser.add_argument("--jobs", type=common.positive, metavar="N", help=help_jobs)
    repeat = parser.add_mutually_exclusive_group()
    repeat.add_argument("--overwrite", action="store_true", help="convert again what is there already (default)")
    repeat.add_argument("--resume", action="store_true", help="leave out recordings whose output is there already")
    common.add_device(parser)
    return common.run(COMMAND, _work, parser, argv, intermixed=True)


def _work(args: argparse.Namespace) -> int:
    from vc.convert.inputs import is_batch, plan

    common.log_to_stderr(COMMAND)
    jobs = plan(args.inputs, args.scp, args.output)
    import torch

    from vc.convert.converter import ConversionOptions, Converter
    from vc.errors import DataError
    from vc.features.f0 import F0Options
    from vc.parallel import default_jobs, map_threads
    from vc.phrases import duration

    converter = Converter.load(args.model, args.device, precision=args.precision, vocoder=args.vocoder)
    f0 = F0Options(args.keep_f0, args.f0_shift, args.f0_scale)
    options = ConversionOptions(f0, args.method, args.f0_range and common.f0_range(*args.f0_range))
    converter.check(options)
    source, target = converter.direction(args.to, args.source)
    missing = [job for job in jobs if not (args.resume and job.done)]
    threads = args.jobs or min(default_jobs(), MOST_JOBS)
    torch.set_num_threads(1)  # a thread a recording, or a piece of a long one: results do not depend on how many
    threads_for_pieces = max(1, threads // max(1, len(missing)))

    def convert(job: "Job", advance: Callable[[float], None]) -> None:  # noqa: F821 - imported late
        job.require_readable()
        converter.convert_file(
            job.source, job.output, target, source, options=options, jobs=threads_for_pieces, advance=advance
        )

    failed, began = 0, time.monotonic()
    for _, result in map_threads(convert, missing, threads, "converting"):
        if isinstance(result, DataError):
            failed += 1
            common.report(COMMAND, result)
    written = [str(job.output) for job in missing if job.done]
    if written and sys.stderr.isatty():  # to who typed the command; scripts know what they asked for
        place = written[0] if len(written) == 1 else f"{os.path.commonpath(written)}{os.sep}"
        took = duration(time.monotonic() - began)
        common.say(f"{place}: {target}'s voice, {converter.sample_rate} Hz, after {took}", sys.stderr)
    if len(missing) < len(jobs):
        common.say(f"{len(jobs) - len(missing)} there already")
    if is_batch(args.inputs, args.scp):
        common.say(f"{len(missing) - failed} converted, {failed} failed")
    return 1 if failed else 0
