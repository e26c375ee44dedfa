"""vc-live: one's own voice converted while one speaks; or a file, or raw samples, in the same way."""

import argparse
import math
import sys
from collections.abc import Sequence

from vc.cli import common

COMMAND = "vc-live"
METHOD_HELP = "diff: what is said, filtered, F0 kept (default); world: synthesis, F0 as the target's"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Convert from the microphone to the loudspeaker with a linear model (nearest, warp, mean_variance).",
        "examples:\n  vc-live --model exp/anna-bert --method world --delay 80\n"
        "  vc-live --model exp/anna-bert --virtual-mic     other programs find the microphone vc_live\n"
        "  vc-live --model exp/anna-bert --input anna.wav --output as_bert.wav\n"
        "  arecord -t raw -f S16_LE -r 16000 | vc-live --model exp/anna-bert --input - --output - | aplay ...\n"
        "keys: p passthrough, m mute, + and - a semitone up and down, t other direction, q quit",
    )
    made.add_argument("--model", help="model.safetensors, or an experiment directory")
    common.add_direction(made)
    made.add_argument("--method", choices=("diff", "world"), default="diff", help=METHOD_HELP)
    made.add_argument(
        "--delay",
        type=float,
        default=50.0,
        metavar="MS",
        help="from a sample to its conversion, without the sound card",
    )
    made.add_argument(
        "--gate", type=float, default=-60.0, metavar="DB", help="of full scale; what is fainter is silence"
    )
    made.add_argument("--no-gate", action="store_true", help="nothing is silence")
    made.add_argument("--f0-shift", type=float, default=0.0, metavar="SEMITONES", help="higher (or lower, below 0)")
    made.add_argument("--f0-scale", type=float, default=1.0, metavar="FACTOR", help="livelier above 1, flatter below")
    made.add_argument("--keep-f0", action="store_true", help="the source's F0 instead of the map to the target's")
    made.add_argument(
        "--f0-range",
        nargs=2,
        metavar=("FLOOR", "CEILING"),
        help="where the voice's F0 lies, in Hz (default: the model's)",
    )
    made.add_argument("--input", metavar="FILE", help="a recording, or - for raw 16-bit samples at the model's rate")
    made.add_argument("--output", metavar="FILE", help="a WAV, or - for raw samples")
    made.add_argument("--realtime", action="store_true", help="take a file no faster than it was spoken")
    return common.run(COMMAND, _work, made, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.config import require
    from vc.features.pitch import Melody
    from vc.live import recording
    from vc.live.stream import Stream

    common.log_to_stderr(COMMAND)
    require(args.model is not None, "give --model")
    require((args.input is None) == (args.output is None), "--input and --output go together")
    require((args.input == "-") == (args.output == "-"), "raw samples (-) go from --input - to --output -")
    stream = Stream.load(
        args.model,
        args.to,
        args.source,
        method=args.method,
        delay=args.delay,
        melody=Melody(args.keep_f0, args.f0_shift, args.f0_scale),
        gate=-math.inf if args.no_gate else args.gate,
        f0_range=args.f0_range and common.f0_range(*args.f0_range),
    )
    common.say(f"{stream.source} to {stream.target}, {stream.method}, {stream.sample_rate} Hz", file=sys.stderr)
    common.say(f"delay: {stream.delay}", file=sys.stderr)
    if args.input == "-":
        recording.convert_raw(stream, args.realtime)
    else:
        recording.convert_file(stream, args.input, args.output, args.realtime)
    if stream.mended:
        common.warn(COMMAND, f"{stream.mended} samples were not finite, and became 0")
    return 0
