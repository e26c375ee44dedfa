"""vc-web: a local page in the browser to record, train, convert, compare and speak live."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-web"
FOLDER = Path("voices")


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Serve a page to this machine's browsers, on which to record, train, convert, compare and speak live. Nothing"
        " is sent over the network.",
        "The page runs the other commands on the folders in FOLDER, and shows their command lines.\n\n"
        "examples:\n  vc-web\n  vc-web ~/voices --port 9000",
    )
    folder_help = f"folder with recordings and models, created if missing (default: {FOLDER}/)"
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, metavar="FOLDER", help=folder_help)
    parser.add_argument("--port", type=common.positive, metavar="N", help="default: 8765, or the next free one")
    return common.run(COMMAND, _work, parser, argv)


def _work(args: argparse.Namespace) -> int:
    from functools import partial

    from vc import extras

    extras.require("vc-web", "web", "starlette", "uvicorn")
    from vc.web.server import serve

    common.log_to_stderr(COMMAND)
    serve(args.folder, args.port, partial(common.say, flush=True))
    return 0
