"""vc: every command under one name; `vc convert` is vc-convert."""

import importlib
import sys
from collections.abc import Sequence

from vc.cli import common

COMMANDS = {
    "prepare": "folders of recordings -> a data directory; or check one",
    "extract": "a data directory -> features and statistics",
    "train": "recordings or features -> a model",
    "convert": "recordings -> converted recordings",
    "live": "one's own voice -> another's, while one speaks",
    "evaluate": "converted recordings -> measures and a report",
    "export": "a model -> ONNX",
    "listen": "conversions -> a listening test; answers -> scores",
    "vocoder": "train, import or try a neural vocoder",
    "encoder": "import or list content encoders",
    "web": "a page in the browser, on this machine alone",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names with the words after it, and return its exit status."""
    listed = "\n".join(f"  {name:<9} {summary}" for name, summary in COMMANDS.items())
    epilog = f"commands:\n{listed}\n`vc COMMAND --help` says more; vc-COMMAND is the same command."
    parser = common.parser("vc", "Voice conversion, from recordings to a measured result.", epilog)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below")
    words = sys.argv[1:] if argv is None else argv
    args = parser.parse_args(words[:1])
    if argv is None:
        common.use_utf8()
    return importlib.import_module(f"vc.cli.{args.command}").main(words[1:])
