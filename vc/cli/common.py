"""What the commands share: a strict parser, and one line for each fault."""

import argparse
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TextIO

from vc import __version__
from vc.errors import ConfigError, VCError, escaped
from vc.files import abandon
from vc.signals import exit_status, heard

VOCODER_HELP = "world, one that vc-vocoder imported, a vocoder's file, or the directory of its training"
SOURCE_HELP = "source (default: a pair's other speaker; whoever speaks, where a model converts anyone)"
PRECISION_HELP = (
    "of the networks (default: float32); bf16 is quicker where the processor has it, tf32 on a GPU; auto: bf16 where it"
    " is quicker, else tf32"
)


def add_device(made: argparse.ArgumentParser) -> None:
    """Where the networks of a conversion compute, and how exactly."""
    made.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: cpu")
    made.add_argument(
        "--precision", choices=("float32", "tf32", "bf16", "auto"), default="float32", help=PRECISION_HELP
    )


def parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser that takes no abbreviations: a misspelt option stops here."""
    formatter = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser(command, None, description, epilog, allow_abbrev=False, formatter_class=formatter)
    made.add_argument("--version", action="version", version=f"vc {__version__}")
    return made


def add_config(made: argparse.ArgumentParser, required: bool = False) -> None:
    help_config = "settings, a file or the name of one that comes with the package (vc-train --configs lists them)"
    made.add_argument(
        "--config", metavar="YAML", required=required, help=f"{help_config}; what it leaves out has a default"
    )
    made.add_argument(
        "--set", metavar="KEY.SUB=VALUE", action="append", default=[], help="change one setting; may be repeated"
    )


def add_direction(made: argparse.ArgumentParser) -> None:
    made.add_argument("--to", metavar="SPEAKER", help="target (default: a pair's second; of more than two, name both)")
    made.add_argument("--from", dest="source", metavar="SPEAKER", help=SOURCE_HELP)


def add_match(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--match",
        metavar="REGEX",
        help="what of a name says the sentence: the first group of a regular expression, or all that it matches",
    )


def named_folders(option: str, words: Sequence[str]) -> dict[str, Path]:
    """Systems from words `NAME=DIR` or `DIR`: a single folder is `converted`, several are called after themselves.

    A name that is given several times is one system's runs, NAME#1, NAME#2, ...
    """
    given = [_named(word) for word in words]
    names = [name or (folder.resolve().name if len(given) > 1 else "converted") for name, folder in given]
    for (name, folder), meant in zip(given, names, strict=True):
        if not name and names.count(meant) > 1:
            raise ConfigError(f"{option}: {folder}: several folders are called {meant!r}; name the systems, NAME=DIR")
        if "#" in meant:
            raise ConfigError(f"{option}: {meant!r}: a name cannot have the sign '#'; name the system, NAME=DIR")
    runs = [names[:place].count(name) + 1 for place, name in enumerate(names)]
    numbered = [f"{name}#{run}" if names.count(name) > 1 else name for name, run in zip(names, runs)]
    return {name: folder for name, (_, folder) in zip(numbered, given, strict=True)}


def _named(word: str) -> tuple[str, Path]:
    """Name and folder; what stands before `=` is a name unless it is the beginning of a path."""
    name, found, folder = word.partition("=")
    if found and "/" not in name:
        if not folder:
            raise ConfigError(f"{word!r}: expected NAME=DIR or DIR")
        return name, Path(folder)
    return "", Path(word)


def first_process() -> bool:
    """Whether this process is the one of a run that speaks."""
    return os.environ.get("RANK", "0") == "0"


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


def f0_range(floor: str, ceiling: str) -> "F0Range":  # noqa: F821 - imported late, it is not light
    """The F0 search range that a user gave in Hz."""
    from vc.features.world import F0Range

    try:
        return F0Range(float(floor), float(ceiling))
    except ValueError:
        raise ConfigError(f"--f0-range: expected two numbers in Hz, got {floor} {ceiling}") from None


def log_to_stderr(command: str) -> None:
    """What the package logs, on stderr: warnings under the command's name, progress as it is."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine(command))
    logger = logging.getLogger("vc")
    logger.handlers, logger.level = [handler], logging.INFO


class _OneLine(logging.Formatter):
    """One line a record, `command: warning: message`."""

    def __init__(self, command: str):
        super().__init__()
        self.command = command

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{self.command}: {level}{escaped(record.getMessage())}"


def say(text: object, file: TextIO | None = None) -> None:
    """A line or several on stdout, or in `file`; what a foreign file brought in cannot move the terminal's cursor."""
    for line in str(text).split("\n"):
        print(escaped(line), file=file)


def report(command: str, fault: object) -> None:
    """One line on stderr for each fault that `fault` stands for."""
    for line in fault.args if isinstance(fault, VCError) else [fault]:
        print(f"{command}: error: {escaped(line)}", file=sys.stderr)


def warn(command: str, warning: object) -> None:
    """One line on stderr of what does not stop the command."""
    print(f"{command}: warning: {escaped(warning)}", file=sys.stderr)


def run(
    command: str,
    work: Callable[[argparse.Namespace], int],
    made: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    *,
    intermixed: bool = False,
) -> int:
    """Parse, work, and turn every fault that a user can cause into one line and an exit status.

    With `intermixed`, arguments may stand among options, on both sides of one.
    """
    if argv is None:
        use_utf8()
    args = made.parse_intermixed_args(argv) if intermixed else made.parse_args(argv)
    _wait_briefly()
    if threading.current_thread() is threading.main_thread():
        for number in heard():
            signal.signal(number, partial(_leave, command))
    try:
        return work(args)
    except VCError as error:
        report(command, error)
        return error.code
    except BrokenPipeError:
        return 128 + 13  # as of SIGPIPE, which Windows does not have
    except OSError as error:
        report(command, f"{error.filename or 'system'}: {error.strerror or error}")
        return 1


def _leave(command: str, number: int, _: object) -> None:
    """End at once, whatever threads are doing, but take away what is unfinished; processes of a pool are ended well."""
    abandon()
    os.write(2, f"{command}: error: stopped by {signal.Signals(number).name}\n".encode())
    code = exit_status(number)
    if multiprocessing.active_children():
        raise SystemExit(code)
    os._exit(code)


def use_utf8() -> None:
    """Begin anew in Python's UTF-8 mode where the locale has another encoding.

    Names of files are bytes, and lists are UTF-8: ids, lists and models would else depend on the locale. What is
    printed stays in the locale's encoding, with what it lacks escaped.
    """
    if sys.getfilesystemencoding() != "utf-8" and "PYTHONUTF8" not in os.environ:
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("PYTHONIOENCODING", f"{sys.getfilesystemencoding()}:backslashreplace")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _wait_briefly() -> None:
    """Let torch's threads spin only briefly while they wait for each other, unless the user has said otherwise.

    Where another process wants a core too, threads that spin for long make a training step many times slower, and
    threads that do not spin at all make it slower everywhere (recipes/EXPERIMENTS.md). GNU's OpenMP reads this once,
    when torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
