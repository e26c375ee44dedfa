"""vc-convert: recordings -> converted recordings."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from vc.cli import common

COMMAND = "vc-convert"
MOST_JOBS = 4  # that nobody asked for: each takes memory for a piece
METHOD_HELP = "world: analysis and synthesis (default); diff: the recording itself, filtered, F0 kept: for like voices"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Convert recordings with a trained model: files, folders (searched below), or - for standard input.",
        "Recordings are of any length, rate and name: what libsndfile reads; with ffmpeg on PATH m4a, wma, video.\n"
        "examples:\n  vc-convert --model exp/SF1-TM3 speech.wav --output converted.wav\n"
        "  vc-convert --model exp/SF1-TM3 --to SF1 recordings --output converted\n"
        "  vc-convert --model exp/SF1-TM3 - --output - < speech.flac > converted.wav\n"
        "exit status: 0 all converted, 1 some failed, 2 wrong usage or a bad model",
    )
    made.add_argument("inputs", nargs="*", metavar="INPUT", help="recording, folder, or -")
    made.add_argument("--model", required=True, help="model.safetensors, or an experiment directory")
    common.add_direction(made)
    made.add_argument("--scp", type=Path, metavar="WAV.SCP", help="list of recordings: an id and a path a line")
    made.add_argument("--output", help="of one recording: a file or -; else a folder (default: converted/)")
    made.add_argument("--method", choices=("world", "diff"), default="world", help=METHOD_HELP)
    made.add_argument("--vocoder", help=f"{common.VOCODER_HELP}; default: what goes with the model's features")
    made.add_argument("--f0-shift", type=float, default=0.0, metavar="SEMITONES", help="higher (or lower, below 0)")
    made.add_argument(
        "--f0-scale", type=float, default=1.0, metavar="FACTOR", help="livelier melody above 1, flatter below"
    )
    made.add_argument(
        "--f0-range",
        nargs=2,
        metavar=("FLOOR", "CEILING"),
        help="where the recordings' F0 lies, in Hz (default: found)",
    )
    made.add_argument("--keep-f0", action="store_true", help="the source's F0 instead of the map to the target's")
    help_jobs = f"threads (default: one a core, {MOST_JOBS} at most)"
    made.add_argument("--jobs", type=common.positive, metavar="N", help=help_jobs)
    again = made.add_mutually_exclusive_group()
    again.add_argument("--overwrite", action="store_true", help="convert again what is there already (default)")
    again.add_argument("--resume", action="store_true", help="leave out recordings whose output is there already")
    common.add_device(made)
    return common.run(COMMAND, _work, made, argv, intermixed=True)


def _work(args: argparse.Namespace) -> int:
    from vc.inputs import is_batch, plan

    common.log_to_stderr(COMMAND)
    jobs = plan(args.inputs, args.scp, args.output)
    import torch

    from vc.convert import Converter
    from vc.errors import DataError
    from vc.features.pitch import Melody
    from vc.parallel import default_jobs, mapped_by_threads
    from vc.phrases import duration

    converter = Converter.load(args.model, args.device, args.precision, args.vocoder)
    melody = Melody(args.keep_f0, args.f0_shift, args.f0_scale)
    f0_range = args.f0_range and common.f0_range(*args.f0_range)
    wish = converter.wish(args.to, args.source, melody, args.method, f0_range)
    missing = [job for job in jobs if not (args.resume and job.done)]
    threads = args.jobs or min(default_jobs(), MOST_JOBS)
    torch.set_num_threads(1)  # a thread a recording, or a piece of a long one: results do not depend on how many
    each = max(1, threads // max(1, len(missing)))  # threads for the pieces of a long one
    work = partial(_convert, converter=converter, wish=wish, jobs=each)
    failed, began = 0, time.monotonic()
    for _, result in mapped_by_threads(work, missing, threads, "converting"):
        if isinstance(result, DataError):
            failed += 1
            common.report(COMMAND, result)
    written = [str(job.output) for job in missing if job.done]
    if written and sys.stderr.isatty():  # to who typed the command; scripts know what they asked for
        place = written[0] if len(written) == 1 else f"{os.path.commonpath(written)}{os.sep}"
        took = duration(time.monotonic() - began)
        common.say(f"{place}: {wish.target}'s voice, {converter.sample_rate} Hz, after {took}", sys.stderr)
    if len(missing) < len(jobs):
        common.say(f"{len(jobs) - len(missing)} there already")
    if is_batch(args.inputs, args.scp):
        common.say(f"{len(missing) - failed} converted, {failed} failed")
    return 1 if failed else 0


def _convert(
    job: "Job",  # noqa: F821 - imported late
    advance: Callable[[float], None],
    converter: "Converter",  # noqa: F821
    wish: "Wish",  # noqa: F821
    jobs: int,
) -> None:
    job.require_readable()
    converter.convert_file(
        job.source,
        job.output,
        to=wish.target,
        source=wish.source,
        melody=wish.melody,
        method=wish.method,
        f0_range=wish.f0_range,
        jobs=jobs,
        advance=advance,
    )
