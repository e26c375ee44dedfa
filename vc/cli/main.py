"""vc: all commands under one name; `vc convert` is vc-convert."""

import importlib
import sys
from collections.abc import Sequence

from vc.cli import common

COMMANDS = {
    "prepare": "make a data directory from folders of recordings, or check one",
    "extract": "extract features and statistics from a data directory",
    "train": "train a model on recordings or features",
    "convert": "convert recordings with a model",
    "live": "convert your voice while you speak",
    "evaluate": "measure converted recordings and write a report",
    "export": "export a model to ONNX",
    "listen": "make a listening test, and score its answers",
    "vocoder": "train, import or try neural vocoders",
    "encoder": "import or list content encoders",
    "web": "open a local page in the browser for all of this",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command with its arguments; return the exit status."""
    listing = "\n".join(f"  {name:<9} {summary}" for name, summary in COMMANDS.items())
    epilog = f"commands:\n{listing}\n`vc COMMAND --help` describes a command; vc-COMMAND is the same command."
    parser = common.parser("vc", "Voice conversion, from recordings to a measured result.", epilog)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of the commands below")
    words = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(words[:1])
    if argv is None:
        common.use_utf8()
    return importlib.import_module(f"vc.cli.{args.command}").main(words[1:])
