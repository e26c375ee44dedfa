"""vc-convert: convert recordings with a trained model."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-convert"
MAX_DEFAULT_JOBS = 4  # each thread needs memory for a piece of a recording
METHOD_HELP = (
    "world: analysis and synthesis (default); diff: filter the recording itself and keep its F0, for similar voices"
)


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Convert recordings with a trained model: files, folders and their subfolders, or - for standard input.",
        "Recordings may have any length, sample rate and name, and any format that libsndfile reads or, with ffmpeg\n"
        "on PATH, m4a, wma and video.\n"
        "examples:\n  vc-convert --model exp/SF1-TM3 speech.wav --output converted.wav\n"
        "  vc-convert --model six_voices --to TM1 speech.wav --output converted.wav\n"
        "  vc-convert --model exp/SF1-TM3 --to SF1 recordings --output converted\n"
        "  vc-convert --model exp/SF1-TM3 - --output - < speech.flac > converted.wav\n"
        "exit status: 0 all converted, 1 some failed, 2 wrong usage or invalid model",
    )
    parser.add_argument("inputs", nargs="*", metavar="INPUT", help="recording, folder, or -")
    parser.add_argument("--model", required=True, help=common.CONVERTING_MODEL_HELP)
    common.add_direction(parser)
    parser.add_argument("--scp", type=Path, metavar="WAV.SCP", help="list of recordings: an id and a path per line")
    parser.add_argument("--output", help="for one recording: a file or -; else a folder (default: converted/)")
    parser.add_argument("--method", choices=("world", "diff"), default="world", help=METHOD_HELP)
    parser.add_argument("--vocoder", help=f"{common.VOCODER_HELP} (default: depends on the model's features)")
    parser.add_argument(
        "--f0-shift", type=float, default=0.0, metavar="SEMITONES", help="raise F0, or lower it if negative"
    )
    parser.add_argument(
        "--f0-scale", type=float, default=1.0, metavar="FACTOR", help="livelier intonation above 1, flatter below"
    )
    parser.add_argument(
        "--f0-range",
        nargs=2,
        metavar=("FLOOR", "CEILING"),
        help="F0 search range of the recordings in Hz (default: estimated)",
    )
    parser.add_argument("--keep-f0", action="store_true", help="keep the source's F0 unchanged")
    help_jobs = f"threads (default: one per core, {MAX_DEFAULT_JOBS} at most)"
    parser.add_argument("--jobs", type=common.positive, metavar="N", help=help_jobs)
    repeat = parser.add_mutually_exclusive_group()
    repeat.add_argument("--overwrite", action="store_true", help="overwrite existing outputs (default)")
    repeat.add_argument("--resume", action="store_true", help="skip recordings whose output already exists")
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
    threads = args.jobs or min(default_jobs(), MAX_DEFAULT_JOBS)
    torch.set_num_threads(1)  # one thread per recording or piece, so that results do not depend on their number
    threads_for_pieces = max(1, threads // max(1, len(missing)))

    def convert(job: "Job", advance: Callable[[float], None]) -> None:  # noqa: F821 - imported late
        job.require_readable()
        converter.convert_file(
            job.source, job.output, target, source, options=options, jobs=threads_for_pieces, advance=advance
        )

    failed, written, start = 0, [], time.monotonic()
    for job, result in map_threads(convert, missing, threads, "converting"):
        if isinstance(result, DataError):
            failed += 1
            common.report(COMMAND, result)
        elif job.done:  # and not standard output
            written.append(str(job.output))
    if written and sys.stderr.isatty():  # for people; scripts do not need it
        place = written[0] if len(written) == 1 else f"{os.path.commonpath(written)}{os.sep}"
        elapsed = duration(time.monotonic() - start)
        common.say(f"{place}: {target}'s voice, {converter.sample_rate} Hz, after {elapsed}", sys.stderr)
    if len(missing) < len(jobs):
        common.say(f"{len(jobs) - len(missing)} skipped, output exists")
    if is_batch(args.inputs, args.scp):
        common.say(f"{len(missing) - failed} converted, {failed} failed")
    return 1 if failed else 0
