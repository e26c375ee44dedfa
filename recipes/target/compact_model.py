#!/usr/bin/env python3
"""Write a recognition_synthesis model at less than half its size: in float16, without its bundled content encoder.

compact_model.py exp/six six_voices.safetensors --licence 'CC BY 4.0, ...'
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from vc import model_file
from vc.config import require
from vc.encoders import choice
from vc.errors import VCError

METHOD = "recognition_synthesis"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--licence", required=True, help="of the weights")
    args = parser.parse_args()
    try:
        model, network, encoder = model_file.read_network(args.model)
        require(model.method == METHOD, f"{args.model}: of method {model.method}, not {METHOD}")
        name = model.features.content.encoder
        bundled = name in choice.BUNDLED_ENCODERS and encoder.digest == choice.choose(name).digest
        require(bundled, f"{args.model}: its content encoder is not a bundled one, and is needed")
        weights = {name: tensor.half() for name, tensor in network.state_dict().items()}
        model_file.write(args.output, replace(model, encoder=None, licence=args.licence), weights)
    except (VCError, OSError) as error:
        print(f"compact_model.py: error: {error}", file=sys.stderr)
        return getattr(error, "code", 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
