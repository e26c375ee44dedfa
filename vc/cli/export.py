"""vc-export: model -> ONNX."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-export"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Write one direction of a trained model as ONNX: mel-cepstra in, mel-cepstra out, normalisation inside.",
        "example:\n  vc-export --model exp/SF1-TM3 --output SF1-TM3.onnx\n"
        "The result is compared with torch's by onnxruntime before it is written. Needs the extra onnx:\n"
        "pip install 'nonparallel-vc[onnx]'.",
    )
    parser.add_argument("--model", required=True, help=common.MODEL_HELP)
    common.add_direction(parser)
    parser.add_argument("--output", required=True, type=Path, metavar="ONNX", help="file to write")
    return common.run(COMMAND, _work, parser, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.convert.converter import Converter
    from vc.convert.export import export

    common.log_to_stderr(COMMAND)
    difference = export(Converter.load(args.model, vocoder="world"), args.output, args.to, args.source)
    common.say(f"{args.output}: differs from torch by {difference:.1g} at most")
    return 0
