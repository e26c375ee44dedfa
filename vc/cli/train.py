"""vc-train: train a model on recordings or features."""

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vc.cli import common

COMMAND = "vc-train"
STEPS_NEEDED = (
    "the default of training.steps, 400,000, is meant for other networks: give --config recognition_synthesis, which"
    " has 400, or --set training.steps=N"
)


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["--configs"]:
        return common.run(COMMAND, list_configs, common.parser(COMMAND, "List the package's configurations."), [])
    if words and words[0].partition("=")[0] == "--method" and len(words) <= 2:
        parser = common.parser(COMMAND, "Describe a method, or list all.")
        parser.add_argument("--method", nargs="?", default="")
        return common.run(COMMAND, describe_method, parser, words)
    parser = common.parser(
        COMMAND,
        "Train a model for a speaker pair, for one target and any source, or for many speakers."
        "\nRun the same command again to resume an interrupted run.",
        "With FOLDERs of recordings, the target's alone or the source's and the target's, it runs all stages: feature\n"
        "extraction, training by the default method (or that of --config), and a report on held-out recordings.\n\n"
        "examples:\n  vc-train recordings/anna recordings/bert --output exp/anna-bert\n"
        "  vc-train --config cyclegan_vc2_narrow --features dump/train"
        " --source SF1 --target TM3 --output exp/SF1-TM3\n"
        "  vc-train --config stargan_vc2_narrow --features dump/train"
        " --speakers SF1 SM1 TF2 TM3 --output exp/four\n"
        "  vc-train --config recognition_synthesis --features dump/train"
        " --target TM3 --output exp/TM3",
    )
    common.add_config(parser)
    parser.add_argument("--configs", action="store_true", help="by itself, lists the configurations in the package")
    parser.add_argument(
        "--method",
        metavar="NAME",
        help="overrides the configuration's method; by itself, --method lists all methods, --method NAME describes one",
    )
    parser.add_argument("recordings", nargs="*", type=Path, metavar="FOLDER", help="recordings of one speaker")
    parser.add_argument("--output", type=Path, required=True, help="experiment directory")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    parser.add_argument("--estimate", action="store_true", help="only estimate the training time; nothing is written")
    folders = parser.add_argument_group("with FOLDERs of recordings")
    folders.add_argument("--jobs", type=common.positive, metavar="N", help="processes (default: one per core)")
    folders.add_argument("--measures", action="extend", nargs="+", metavar="MEASURE", help="as in vc-evaluate")
    extracted = parser.add_argument_group("with features, in place of FOLDERs")
    extracted.add_argument("--features", type=Path, help="features directory of the speakers, by vc-extract")
    extracted.add_argument(
        "--source", metavar="SPEAKER", help="source of a pair; the model converts in both directions"
    )
    extracted.add_argument("--target", metavar="SPEAKER", help="target; needs no --source if the method does not")
    extracted.add_argument(
        "--speakers",
        action="extend",
        nargs="+",
        metavar="SPEAKER",
        help="in place of both: the speakers of one network",
    )
    extracted.add_argument(
        "--held-out",
        type=Path,
        help="features directory of utterances not used in training, by which the best model is chosen",
    )
    extracted.add_argument(
        "--add-to",
        type=Path,
        metavar="MODEL",
        help="add the last of --speakers to this model without changing the others; --features has all of them",
    )
    extracted.add_argument("--validation", type=Path, help="data directory of recordings to convert during training")
    if "--configs" in words:
        parser.error("--configs stands by itself")
    return common.run(COMMAND, _work, parser, argv, intermixed=True)


def _work(args: argparse.Namespace) -> int:
    from vc import model_file, phrases
    from vc.config import configuration_names, flatten, read_sections, require
    from vc.errors import ConfigError
    from vc.model_file import NAME
    from vc.train.converter import train
    from vc.train.estimate import announce, estimate
    from vc.train.methods import METHODS
    from vc.train.plan import Request

    common.log_to_stderr(COMMAND)
    if bool(args.recordings) == bool(args.features):
        raise ConfigError("give FOLDERs of recordings, or --features")
    if args.features and (args.jobs or args.measures):
        raise ConfigError("--jobs, --measures: only with FOLDERs of recordings")
    if args.features and not (args.config or args.method):
        raise ConfigError("give --config or --method; vc-train --method lists the methods")
    if args.recordings and not (args.config or args.method):
        return train_from_recordings(args, None)
    sections = read_sections(args.config, args.set)
    sections.setdefault("method", args.method or "cyclegan_vc2")
    if args.method:
        sections["method"] = args.method
        default_steps = not args.config and "training.steps" not in flatten(sections)
        fits = args.method != "recognition_synthesis" or not default_steps
        require(fits, f"--method {args.method}: {STEPS_NEEDED}")
        configuration = args.method not in METHODS and args.method in configuration_names()
        require(not configuration, f"--method: {args.method} is a configuration: give --config {args.method}")
        if not args.config and common.first_process() and not (args.output / "config.yaml").exists():
            warn_of_defaults(args.method, sections, extracted=bool(args.features))
    method, settings = METHODS.get(str(sections["method"])), sections.get("training")
    if method and method.fit and settings and isinstance(settings, dict) and common.first_process():
        unused = ", ".join(f"training.{key}" for key in settings)
        common.warn(COMMAND, f"{unused}: no effect, since {sections['method']} takes no steps")
    if args.recordings:
        return train_from_recordings(args, sections)
    pair = (args.source, args.target)
    if bool(args.speakers) == any(pair) or (args.source and not args.target):
        raise ConfigError("give --source and --target, --target alone if the method needs no source, or --speakers")
    request = Request(
        args.features,
        tuple(args.speakers or filter(None, pair)),
        output=args.output,
        sections=sections,
        held_out=args.held_out,
        validation=args.validation,
        add_to=args.add_to,
        device=args.device,
    )
    if args.estimate:
        result = str(estimate(request))
    else:
        start, method = time.monotonic(), METHODS.get(str(sections["method"]))
        if method and method.training:  # the others take seconds
            announce(request)
        step, elapsed = train(request), phrases.duration(time.monotonic() - start)
        if METHODS[sections["method"]].fit:
            state = "fitted"
        elif args.held_out and common.first_process():  # the best model's step, not the last
            state = f"step {model_file.read(args.output, 'numpy')[0].step} of {step}"
        else:
            state = f"step {step}"
        result = f"{args.output / NAME}: {state}, after {elapsed}\n{next_command(args.output, request.speakers)}"
    if common.first_process():
        common.say(result)
    return 0


def warn_of_defaults(method: str, sections: dict[str, Any], *, extracted: bool) -> None:
    """Warn of settings that the package's configuration of the method's name has and `sections` does not."""
    from vc.config import CONFIGURATIONS, configuration_names, flatten, read_yaml

    if method not in configuration_names():
        return
    ignored = ("method", "compute", *(["features"] if extracted else []))  # those of features are fixed already
    settings = flatten(read_yaml(CONFIGURATIONS / f"{method}.yaml"))
    differing = [key for key in settings if key not in flatten(sections) and key.split(".")[0] not in ignored]
    if differing:
        others = ", ".join(f"{key}={settings[key]}" for key in differing)
        common.warn(COMMAND, f"--method {method} leaves settings at their defaults; --config {method} has {others}")


def next_command(output: Path, speakers: Sequence[str]) -> str:
    """The command to run after training, as a line of text."""
    sides = f"--from {speakers[0]} --to {speakers[1]}" if len(speakers) > 2 else f"--to {speakers[-1]}"
    return f"next: vc-convert --model {shlex.quote(str(output))} {sides} RECORDING ..."


def train_from_recordings(args: argparse.Namespace, sections: dict[str, Any] | None) -> int:
    """Train from folders of recordings and measure the model; return the exit status."""
    from vc import extras, phrases
    from vc.config import require
    from vc.evaluate.headline import as_text
    from vc.from_folders import estimate_from_folders, train_from_folders
    from vc.model_file import NAME
    from vc.parallel import default_jobs
    from vc.train.processes import started_by_torchrun

    others = {"source": args.source, "target": args.target, "speakers": args.speakers, "held-out": args.held_out}
    others |= {"add-to": args.add_to, "validation": args.validation}
    excluded = ", ".join(f"--{name}" for name, value in others.items() if value)
    require(not excluded, f"{excluded}: only with --features")
    require(not started_by_torchrun(), "FOLDERs of recordings: not under torchrun, which needs --features")
    extras.ensure_numba_cache()
    measures = [] if args.measures == ["none"] else args.measures
    jobs, start = args.jobs or default_jobs(), time.monotonic()
    if args.estimate:
        where = {"device": args.device, "jobs": jobs}
        common.say(estimate_from_folders(args.recordings, args.output, sections, args.set, **where))
        return 0
    voice = train_from_folders(
        args.recordings, args.output, sections, args.set, device=args.device, jobs=jobs, measures=measures
    )
    for failure in voice.failures:
        common.report(COMMAND, failure)
    common.say(f"{voice.model / NAME}: the voice of {voice.target}, after {phrases.duration(time.monotonic() - start)}")
    if voice.evaluation:
        common.say(as_text(voice.evaluation.headline(voice.evaluation.systems[0])))
        common.say(f"listen: {voice.report.absolute().as_uri()}")
    common.say(next_command(args.output, [voice.target]))
    return 1 if voice.failures else 0


def list_configs(_: argparse.Namespace) -> int:
    """Print a line for each configuration of the package; return the exit status."""
    from vc.config import configuration_names, summary

    width = max(map(len, configuration_names()))
    for name in configuration_names():
        common.say(f"{name:{width}}  {summary(name)}")
    return 0


def describe_method(args: argparse.Namespace) -> int:
    """Describe a method, or print a line for each; return the exit status."""
    from vc.train.methods import describe

    common.say(describe(args.method or ""))
    return 0
