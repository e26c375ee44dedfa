"""vc-live: convert live from microphone to loudspeaker, or a file or raw samples in the same way."""

import argparse
import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Sequence

from vc.cli import common
from vc.live.settings import (
    BLOCK,
    BLOCKS,
    DECODER_DELAY,
    DELAY,
    GATE,
    LONGEST_SLACK,
    METHODS,
    MOST_SLACK,
    SLACK,
    WORLD_DECODER_DELAY,
)
from vc.signals import exit_status, stop_signals

COMMAND = "vc-live"
METHOD_HELP = "of a linear model: filter the input and keep its F0 (diff, the default), or synthesise (world)"
MODEL_OPTIONS = ("method", "delay", "device", "vocoder")  # options whose defaults depend on the model
MOST_THREADS = 4  # of torch; more make blocks of 93 ms no faster
REFRESH = 0.1  # seconds between readings of keys and meters


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Convert from the microphone to the loudspeaker with a model of recognition_synthesis, or of a linear method\n"
        "(nearest, parallel, warp, mean_variance).",
        "examples:\n  vc-live --model six_voices --to TM1\n"
        "  vc-live --model exp/anna-bert-nearest --method world --delay 80\n"
        "  vc-live --model exp/anna-bert-nearest --virtual-mic vc_live   (other programs can choose that microphone)\n"
        "  vc-live --model exp/anna-bert-nearest --input anna.wav --output as_bert.wav\n"
        "  vc-live --model exp/anna-bert-nearest --input - --output - < anna.raw > bert.raw\n"
        "  vc-live --model exp/anna-bert-nearest --json          (for programs: docs/live.md)\n"
        "keys: p passthrough, m mute, + and - a semitone up and down, t other direction, q quit",
    )
    parser.add_argument("--model", help=f"{common.CONVERTING_MODEL_HELP}; not needed with --devices")
    common.add_direction(parser)
    parser.add_argument("--method", choices=METHODS, help=METHOD_HELP)
    default = f"default: {DELAY:g}; recognition_synthesis: {DECODER_DELAY:g}, through WORLD {WORLD_DECODER_DELAY:g}"
    help_delay = f"from a sample to its conversion, without the sound card's delay ({default})"
    parser.add_argument("--delay", type=float, metavar="MS", help=help_delay)
    help_gate = f"of full scale; fainter input becomes silence (default: {GATE:g}; --gate=-inf: no gate)"
    parser.add_argument("--gate", type=float, default=GATE, metavar="DB", help=help_gate)
    parser.add_argument("--f0-shift", type=float, default=0.0, metavar="SEMITONES", help="higher (or lower, below 0)")
    parser.add_argument("--f0-scale", type=float, default=1.0, metavar="FACTOR", help="livelier above 1, flatter below")
    parser.add_argument(
        "--keep-f0", action="store_true", help="keep the source's F0 instead of mapping it to the target's"
    )
    help_range = "search range for the source's F0 in Hz (default: the model's, or estimated)"
    parser.add_argument("--f0-range", nargs=2, metavar=("FLOOR", "CEILING"), help=help_range)
    parser.add_argument("--device", help="of recognition_synthesis: cpu (default), cuda or auto")
    default = "default: HiFi-GAN, or WORLD for models made for it"
    help_vocoder = f"of recognition_synthesis: world, or a HiFi-GAN, as for vc-convert ({default})"
    parser.add_argument("--vocoder", metavar="NAME", help=help_vocoder)
    files = parser.add_argument_group("without a sound card")
    files.add_argument("--input", metavar="FILE", help="a recording, or - for raw 16-bit samples at the model's rate")
    files.add_argument("--output", metavar="FILE", help="a WAV, or - for raw samples")
    files.add_argument("--realtime", action="store_true", help="read the input in real time")
    card = parser.add_argument_group("sound card (needs the extra live, and PortAudio)")
    card.add_argument("--devices", action="store_true", help="list the devices")
    help_json = "for programs: print devices or status as lines of JSON; read keys from a pipe, whose end means q"
    card.add_argument("--json", action="store_true", help=help_json)
    card.add_argument("--input-device", metavar="DEVICE", help="number or name (default: the system's)")
    card.add_argument("--output-device", metavar="DEVICE", help="number or name (default: the system's)")
    help_block = f"block size of the sound card (default: {BLOCK:g})"
    card.add_argument("--block", type=float, default=BLOCK, metavar="MS", help=help_block)
    most_slack = f"{MOST_SLACK} and {LONGEST_SLACK:g} s"
    usual = f"{SLACK}, or as many as the model converts at once"
    help_slack = f"blocks that the conversion may be late (default: {usual}; at most {most_slack})"
    help_latency = "latency to request of each device (default: the lowest that it reports)"
    card.add_argument("--latency", type=float, metavar="MS", help=help_latency)
    card.add_argument("--slack", type=common.positive, metavar="N", help=help_slack)
    card.add_argument("--virtual-mic", metavar="NAME", help="a microphone that other programs can choose (needs pactl)")
    card.add_argument("--seconds", type=float, default=math.inf, metavar="N", help="stop after so many seconds")
    card.add_argument("--measure", action="store_true", help="measure the actual delay with clicks")
    return common.run(COMMAND, _work, parser, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.config import require
    from vc.corpus import audio
    from vc.features.f0 import F0Options
    from vc.live import choice, recording

    common.log_to_stderr(COMMAND)
    if args.devices:
        import json
        from dataclasses import asdict

        from vc.live import device

        devices = device.devices()
        for each in devices:
            common.say(json.dumps(asdict(each)) if args.json else each)
        if not devices and not args.json:
            common.say("no devices")
        return 0
    require(args.model is not None, "give --model")
    _refuse_unused(args)
    require((args.input is None) == (args.output is None), "--input and --output go together")
    if args.output is not None:
        require(not os.path.isdir(args.input), f"--input {args.input}: is a folder; vc-convert converts folders")
        audio.check_output(args.output, args.input)
    require((args.input == "-") == (args.output == "-"), "raw samples (-) go from --input - to --output -")
    smallest, largest = BLOCKS
    require(smallest <= args.block <= largest, f"--block must be in {smallest:g}..{largest:g} ms, got {args.block:g}")
    latency_valid = args.latency is None or 0 <= args.latency < math.inf
    require(latency_valid, f"--latency must be 0 ms or more, and finite, got {args.latency}")
    require(args.seconds > 0, f"--seconds must be above 0, got {args.seconds:g}")
    slack = args.slack or SLACK
    require(slack <= MOST_SLACK, f"--slack must be in 1..{MOST_SLACK} blocks, got {slack}")
    seconds = slack * args.block / 1000
    require(seconds <= LONGEST_SLACK, f"--slack of {slack} blocks is {seconds:g} s, at most {LONGEST_SLACK:g} s")
    settings = {
        **{name: value for name in MODEL_OPTIONS if (value := getattr(args, name)) is not None},
        "f0_options": F0Options(args.keep_f0, args.f0_shift, args.f0_scale),
        "gate": args.gate,
        "f0_range": args.f0_range and common.f0_range(*args.f0_range),
    }
    stream = choice.load(args.model, args.to, args.source, **settings)
    if stream.method == "decoder":
        import torch

        from vc.parallel import default_jobs

        # One core is left to the sound card's threads, and to a sound server that has no real-time priority
        torch.set_num_threads(max(1, min(MOST_THREADS, default_jobs() - 1)))
    common.say(f"{_direction(stream)}, {stream.method}, {stream.sample_rate} Hz", file=sys.stderr)
    common.say(f"delay: {stream.delay}", file=sys.stderr)
    if args.input is None:
        return _measure(args, stream) if args.measure else _run_session(args, stream, settings["f0_range"])
    if args.input == "-":
        recording.convert_raw(stream, args.realtime)
    else:
        recording.convert_file(stream, args.input, args.output, args.realtime)
    if stream.not_finite:
        common.warn(COMMAND, f"{stream.not_finite} samples were not finite, and became 0")
    return 0


def _refuse_unused(args: argparse.Namespace) -> None:
    """Refuse options that what was asked for does not use."""
    from vc.config import require

    session = {
        "--json": args.json,
        "--virtual-mic": args.virtual_mic is not None,
        "--seconds": args.seconds != math.inf,
    }
    card = {
        "--measure": args.measure,
        "--input-device": args.input_device is not None,
        "--output-device": args.output_device is not None,
        "--block": args.block != BLOCK,
        "--latency": args.latency is not None,
        "--slack": args.slack is not None,
    }
    cases = {"--input": (args.input is not None, session | card), "--measure": (args.measure, session)}
    for reason, (applies, options) in cases.items():
        unused = ", ".join(name for name, given in options.items() if given)
        require(not (applies and unused), f"{unused}: not with {reason}")
    require(not args.realtime or args.input is not None, "--realtime: only with --input")


def _run_session(args: argparse.Namespace, stream: "AbstractStream", f0_range: "F0Range | None") -> int:  # noqa: F821
    """Convert from device to device until a key, a signal or the time limit ends it; `f0_range` is of the source."""
    from vc.errors import VCError, escaped
    from vc.live import device, terminal
    from vc.live.virtual_microphone import virtual_microphone

    first_source = stream.source
    ended: list[int] = []
    for number in stop_signals():  # so that everything that was set up is removed first
        signal.signal(number, lambda number, _: ended.append(number))
    with contextlib.ExitStack() as stack:
        if args.virtual_mic:
            device.play_to_sink(stack.enter_context(virtual_microphone(args.virtual_mic)))
        connection = stack.enter_context(device.connect(stream, **_device_options(args, stream)))
        loop = connection.loop
        common.say(f"from {connection.devices[0]} to {connection.devices[1]}", file=sys.stderr)
        common.say(f"and {_card_delay(connection)}", file=sys.stderr)
        has_keys = stack.enter_context(terminal.keyboard(pipe=args.json))
        shows = sys.stderr.isatty() and not args.json
        if has_keys and not args.json:
            common.say(terminal.HELP, file=sys.stderr)
        begin, pressed = time.monotonic(), ""
        while not ended and pressed != terminal.QUIT and time.monotonic() - begin < args.seconds:
            connection.check()
            if has_keys:
                pressed = terminal.key(REFRESH)
            else:
                time.sleep(REFRESH)
            if pressed == "t" and stream.source is None:
                message = f"{_direction(stream)}: there is no other direction"
            elif pressed == "t":
                try:
                    other = stream.other_direction(f0_range if stream.target == first_source else None)
                except VCError as error:  # such as a delay that is too short for the other voice
                    message = f"{_direction(stream)} as before: {error}"
                    if not shows:
                        common.warn(COMMAND, message)
                else:
                    loop.replace(other, other.delay.samples)
                    stream = other
                    message = _direction(stream)
            else:
                message = terminal.obey(pressed, stream)
            if message and shows:
                print(f"\r{escaped(message)}\x1b[K", file=sys.stderr)  # a line of its own, which stays
            if args.json:
                print(terminal.as_json(connection, stream, time.monotonic() - begin), flush=True)
            elif shows:
                status = terminal.status(loop, stream, time.monotonic() - begin)
                print(f"\r{status}\x1b[K", end="", file=sys.stderr)
        seconds = time.monotonic() - begin
    if shows:
        print(file=sys.stderr)
    if args.json:
        print(terminal.as_json(connection, stream, seconds), flush=True)
    else:
        load = 100 * loop.busy / max(seconds, REFRESH)
        counts = terminal.counts_text(terminal.counts(loop, stream))
        common.say(f"{seconds:.1f} s, {load:.0f} % of a core, {counts}")
    return exit_status(ended[0]) if ended and ended[0] != signal.SIGINT else 0


def _measure(args: argparse.Namespace, stream: "AbstractStream") -> int:  # noqa: F821
    from vc.live import device

    delays, connection = device.measure(stream.sample_rate, **_device_options(args, stream))
    card, engine = float(delays.mean()), stream.delay.milliseconds
    common.say(f"from {connection.devices[0]} to {connection.devices[1]}")
    common.say(f"computed: {engine:.1f} ms, and {_card_delay(connection)}")
    spread = f"{delays.min():.1f} to {delays.max():.1f} of {len(delays)} clicks"
    common.say(
        f"measured: {card:.1f} ms from loudspeaker to microphone and through the computer ({spread});"
        f" with the conversion {card + engine:.1f} ms"
    )
    return 0


def _device_options(args: argparse.Namespace, stream: "AbstractStream") -> dict:  # noqa: F821
    step = 1000 * stream.step / stream.sample_rate  # milliseconds, the longest that computing a step may take
    slack = args.slack or max(SLACK, math.ceil(step / args.block))
    devices = {"input": args.input_device, "output": args.output_device}
    latency = "low" if args.latency is None else args.latency / 1000
    return {**devices, "block": args.block / 1000, "slack": slack, "latency": latency}


def _direction(stream: "AbstractStream") -> str:  # noqa: F821
    return f"{stream.source or 'anyone'} to {stream.target}"


def _card_delay(connection: "Connection") -> str:  # noqa: F821
    """The sound card's part of the delay, as reported."""
    parts = ", ".join(f"{name} {milliseconds:.1f}" for name, milliseconds in connection.delays.items())
    return f"{sum(connection.delays.values()):.1f} ms of the sound card, as it reports ({parts})"
