"""Shared by the commands: a strict parser, common options, and one line for each fault."""

import argparse
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from vc import __version__
from vc.errors import ConfigError, VCError, escaped
from vc.files import abandon
from vc.parallel import end_processes
from vc.signals import exit_status, stop_signals

VOCODER_HELP = "world, one that vc-vocoder imported, a vocoder's file, or the directory of its training"
MODEL_HELP = "model.safetensors, or an experiment directory"
SOURCE_HELP = "source (default: a pair's other speaker; none, if the model converts any speaker)"
PRECISION_HELP = (
    "of the networks (default: float32); bf16 is quicker where the processor has it, tf32 on a GPU; auto: bf16 where it"
    " is quicker, else tf32"
)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the options for where the networks of a conversion compute, and at which precision."""
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument(
        "--precision", choices=("float32", "tf32", "bf16", "auto"), default="float32", help=PRECISION_HELP
    )


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, as the commands do; of an unknown option also which there are."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown and " " in self.prog:  # of `vc-vocoder copy`: vc-vocoder would say it, and has other options
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        more = f"known: {', '.join(known)}" if message.startswith("unrecognized") else f"{self.prog} --help says more"
        self.exit(2, f"{self.prog}: error: {escaped(message)}; {more}\n")


def parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """A parser that takes no abbreviations: a misspelt option stops here."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = _Parser(command, None, description, epilog, allow_abbrev=False, formatter_class=formatter)
    parser.add_argument("--version", action="version", version=f"vc {__version__}")
    return parser


def add_config(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """Add the options for settings, --config and --set."""
    help_config = "settings, a file or the name of one that comes with the package (vc-train --configs lists them)"
    parser.add_argument(
        "--config", metavar="YAML", required=required, help=f"{help_config}; what it leaves out has a default"
    )
    parser.add_argument(
        "--set", metavar="KEY.SUB=VALUE", action="append", default=[], help="change one setting; may be repeated"
    )


def add_direction(parser: argparse.ArgumentParser) -> None:
    """Add the options for target and source, --to and --from."""
    parser.add_argument(
        "--to", metavar="SPEAKER", help="target (default: a pair's second; of more than two, name both)"
    )
    parser.add_argument("--from", dest="source", metavar="SPEAKER", help=SOURCE_HELP)


def add_match(parser: argparse.ArgumentParser) -> None:
    """Add the option for how names tell the sentence, --match."""
    parser.add_argument(
        "--match",
        metavar="REGEX",
        help="what of a name says the sentence: the first group of a regular expression, or all that it matches",
    )


def named_folders(option: str, words: Sequence[str]) -> dict[str, Path]:
    """Systems to measure or to listen to, from arguments `NAME=DIR` or `DIR`.

    Parameters
    ----------
    option : str
        Of the command, for messages.
    words : sequence of str
        Its arguments. Text before `=` is a name unless it is the beginning of a path.

    Returns
    -------
    dict of str to Path
        Folders by system. Without a name, a single folder is `converted`, and one of several has its own name. A name
        that appears several times is one system's runs, NAME#1, NAME#2, ...

    Raises
    ------
    ConfigError
        If a folder is missing, or a name is ambiguous or has the sign '#'.
    """
    folders = []
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or "/" in name:
            name, folder = "", word
        elif not folder:
            raise ConfigError(f"{word!r}: expected NAME=DIR or DIR")
        folders.append((name, Path(folder)))
    names = [name or (folder.resolve().name if len(folders) > 1 else "converted") for name, folder in folders]
    for (explicit, folder), name in zip(folders, names, strict=True):
        if not explicit and names.count(name) > 1:
            raise ConfigError(f"{option}: {folder}: several folders are called {name!r}; name the systems, NAME=DIR")
        if "#" in name:
            raise ConfigError(f"{option}: {name!r}: a name cannot have the sign '#'; name the system, NAME=DIR")
    runs = [names[:place].count(name) + 1 for place, name in enumerate(names)]
    numbered = [f"{name}#{run}" if names.count(name) > 1 else name for name, run in zip(names, runs)]
    return {name: folder for name, (_, folder) in zip(numbered, folders, strict=True)}


def first_process() -> bool:
    """Whether this process is the one of a distributed run that prints."""
    return os.environ.get("RANK", "0") == "0"


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


def f0_range(floor: str, ceiling: str) -> "F0Range":  # noqa: F821 - imported late, it is not light
    """An F0 search range from a user's two numbers in Hz."""
    from vc.features.f0 import F0Range

    try:
        return F0Range(float(floor), float(ceiling))
    except ValueError:
        raise ConfigError(f"--f0-range: expected two numbers in Hz, got {floor} {ceiling}") from None


def log_to_stderr(command: str) -> None:
    """Send the package's log to stderr, each line under the command's name."""
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
    """Print one or more lines on stdout, or to `file`; control characters, as in foreign names, are escaped."""
    for line in str(text).split("\n"):
        print(escaped(line), file=file)


def report(command: str, fault: object) -> None:
    """One line on stderr for each fault in a VCError, or for `fault` itself."""
    for line in fault.args if isinstance(fault, VCError) else [fault]:
        print(f"{command}: error: {escaped(line)}", file=sys.stderr)


def warn(command: str, warning: object) -> None:
    """One line on stderr for something that does not stop the command."""
    print(f"{command}: warning: {escaped(warning)}", file=sys.stderr)


def run(
    command: str,
    work: Callable[[argparse.Namespace], int],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    *,
    intermixed: bool = False,
) -> int:
    """Parse the arguments, work, and turn every fault that a user can cause into one line.

    Parameters
    ----------
    command : str
        Its name, before every line.
    work : callable
        The command itself: parsed arguments to exit status.
    parser : argparse.ArgumentParser
    argv : sequence of str, optional
        Arguments. Default: those of the process.
    intermixed : bool
        Whether arguments may stand among options, on both sides of one.

    Returns
    -------
    int
        Exit status.
    """
    if argv is None:
        use_utf8()
    words = sys.argv[1:] if argv is None else argv
    # argparse, mixing, would take what follows `--` for options; all that follows it are arguments anyway.
    mixed = intermixed and "--" not in words
    args = parser.parse_intermixed_args(words) if mixed else parser.parse_args(words)
    # Torch's threads shall spin only briefly while they wait for each other. Where another process wants a core too,
    # threads that spin for long make a training step many times slower, and threads that do not spin at all make it
    # slower everywhere (docs/experiments.md). GNU's OpenMP reads this once, when torch is imported.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")

    def stop(number: int, _: object) -> None:
        """End soon, whatever threads and other processes are doing, without unfinished files."""
        abandon()
        os.write(2, f"{command}: error: stopped by {signal.Signals(number).name}\n".encode())
        code = exit_status(number)
        if multiprocessing.active_children():
            end_processes()
            raise SystemExit(code)  # which frees what the pool shared with them
        os._exit(code)

    if threading.current_thread() is threading.main_thread():
        for number in stop_signals():
            signal.signal(number, stop)
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


def use_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale has another encoding.

    Names of files are bytes, and lists are UTF-8: otherwise ids, lists and models would depend on the locale. Output
    stays in the locale's encoding, with characters that it lacks escaped.
    """
    if sys.getfilesystemencoding() != "utf-8" and "PYTHONUTF8" not in os.environ:
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("PYTHONIOENCODING", f"{sys.getfilesystemencoding()}:backslashreplace")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
