"""vc-export: export a model to ONNX."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-export"


def main(argv: Sequence[str] | None = None) -> int:
    parser = common.parser(
        COMMAND,
        "Export one direction of a trained model to ONNX: mel-cepstra in, mel-cepstra out, normalisation included.",
        "example:\n  vc-export --model exp/SF1-TM3 --output SF1-TM3.onnx\n"
        "Before the file is written, its output in onnxruntime is compared with torch's. Needs the extra onnx:\n"
        "pip install 'nonparallel-vc[onnx]'.",
    )
    parser.add_argument("--model", required=True, help=common.MODEL_HELP)
    common.add_direction(parser)
    parser.add_argument("--output", required=True, type=Path, metavar="ONNX", help="file to write")
    return common.run(COMMAND, _work, parser, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.config import require
    from vc.convert.converter import Converter
    from vc.convert.export import export

    common.log_to_stderr(COMMAND)
    is_onnx = args.output.suffix.lower() == ".onnx"
    require(is_onnx, f"{args.output}: the output is an ONNX file; give a name that ends in .onnx")
    difference = export(Converter.load(args.model, vocoder="world"), args.output, args.to, args.source)
    common.say(f"{args.output}: differs from torch by at most {difference:.1g}")
    return 0
