"""vc-convert: recordings -> converted recordings."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vc.cli import common

COMMAND = "vc-convert"


def main(argv: Sequence[str] | None = None) -> int:
    made = common.parser(
        COMMAND,
        "Convert recordings with a trained model: files, folders (searched below), or - for standard input.",
        "examples:\n  vc-convert --model exp/SF1-TM3 speech.wav --output converted.wav\n"
        "  vc-convert --model exp/SF1-TM3 --to SF1 recordings --output converted\n"
        "  vc-convert --model exp/SF1-TM3 - --output - < speech.flac > converted.wav\n"
        "exit status: 0 all converted, 1 some failed, 2 wrong usage or a bad model",
    )
    made.add_argument("inputs", nargs="*", metavar="INPUT", help="recording, folder, or -")
    made.add_argument("--model", required=True, help="model.safetensors, or an experiment directory")
    made.add_argument("--to", metavar="SPEAKER", help="target (default: the pair's); naming the source goes back")
    made.add_argument("--from", dest="source", metavar="SPEAKER", help="source (default: the pair's other speaker)")
    made.add_argument("--scp", type=Path, metavar="WAV.SCP", help="list of recordings: an id and a path a line")
    made.add_argument("--output", help="of one recording: a file or -; else a folder (default: converted/)")
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: cpu")
    return common.run(COMMAND, _work, made, argv)


def _work(args: argparse.Namespace) -> int:
    from vc.inputs import is_batch, plan

    jobs = plan(args.inputs, args.scp, args.output)
    from vc.convert import Converter
    from vc.errors import DataError
    from vc.parallel import progress

    common.log_to_stderr(COMMAND)
    converter = Converter.load(args.model, args.device)
    source, target = converter.direction(args.to, args.source)
    bar, failed = progress(len(jobs), "converting"), 0
    for job in jobs:
        try:
            converter.convert_file(job.source, job.output, target, source)
        except DataError as error:
            failed += 1
            common.report(COMMAND, error)
        bar.update()
    bar.close()
    if is_batch(args.inputs, args.scp):
        print(f"{len(jobs) - failed} converted, {failed} failed")
    return 1 if failed else 0
