"""Shared by the commands: a strict parser, common options, one-line error messages."""

import argparse
import contextlib
import itertools
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

from vc import __version__, system
from vc.errors import ConfigError, VCError, escaped, out_of_memory, shorten, suggestion
from vc.files import abandon
from vc.parallel import end_processes
from vc.signals import exit_status, stop_signals

VOCODER_HELP = "world, the name of an imported vocoder, a vocoder file, or the directory of a vocoder's training run"
MODEL_HELP = "model.safetensors, or an experiment directory"
CONVERTING_MODEL_HELP = f"{MODEL_HELP}, or six_voices, which comes with the package"
SOURCE_HELP = "source speaker (default: the other speaker of a pair; not needed if the model converts any speaker)"
PRECISION_HELP = (
    "precision of the networks (default: float32); bf16 is faster on processors that support it, tf32 on GPUs; auto:"
    " bf16 where it is faster, else tf32"
)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device and --precision, for the networks of a conversion."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="cpu", help="where the networks run (default: cpu)"
    )
    parser.add_argument(
        "--precision", choices=("float32", "tf32", "bf16", "auto"), default="float32", help=PRECISION_HELP
    )


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line, as the commands do; for an unknown option, lists the known ones, too.

    An unknown option is reported even if a required one is missing, which may be the same one misspelt.

    Subcommands' parsers, too, accept no abbreviated options, so that misspelt ones are rejected.
    """

    def __init__(self, *args: Any, **settings: Any):
        super().__init__(*args, **{**settings, "allow_abbrev": False})

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        self._words = sys.argv[1:] if args is None else list(args)
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown and " " in self.prog:  # `vc-vocoder copy`: vc-vocoder would report it, but has other options
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
        if "are required:" in message:
            options = [word for word in itertools.takewhile(lambda word: word != "--", self._words) if word[:2] == "--"]
            unknown = [option for option in options if option.partition("=")[0] not in known]
            message = f"unrecognized arguments: {' '.join(unknown)}" if unknown else message
        more = f"{self.prog} --help says more"
        if message.startswith("unrecognized"):
            misspelt = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
            more = f"known: {', '.join(known)}{suggestion(known, *misspelt)}"
        self.exit(2, f"{self.prog}: error: {escaped(message)}; {more}\n")


def parser(command: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """Make a command's parser."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = _Parser(command, None, description, epilog, formatter_class=formatter)
    parser.add_argument("--version", action="version", version=f"vc {__version__}")
    return parser


CONFIG_HELP = (
    "settings: a file, or the name of one in the package (vc-train --configs lists them); settings that it omits have"
    " defaults"
)


def add_config(parser: argparse.ArgumentParser, *, required: bool = False, help: str = CONFIG_HELP) -> None:
    """Add the options for settings, --config and --set."""
    parser.add_argument("--config", metavar="YAML", required=required, help=help)
    parser.add_argument(
        "--set", metavar="KEY.SUB=VALUE", action="append", default=[], help="change one setting; may be repeated"
    )


def add_direction(parser: argparse.ArgumentParser) -> None:
    """Add the options for target and source, --to and --from."""
    help_target = "target speaker (default: the second of a pair; a model of more speakers may need --from, too)"
    parser.add_argument("--to", metavar="SPEAKER", help=help_target)
    parser.add_argument("--from", dest="source", metavar="SPEAKER", help=SOURCE_HELP)


def add_match(parser: argparse.ArgumentParser) -> None:
    """Add the option for identifying sentences by file names, --match."""
    parser.add_argument(
        "--match",
        metavar="REGEX",
        help="regular expression for the part of a file name that identifies the sentence: its first group or, without"
        " a group, the whole match",
    )


def named_folders(option: str, words: Sequence[str]) -> dict[str, Path]:
    """Parse the folders of converted systems, `NAME=DIR` or `DIR`.

    Parameters
    ----------
    option : str
        The option, for error messages.
    words : sequence of str
        Its arguments. Text before `=` is a name unless it contains a slash.

    Returns
    -------
    dict of str to Path
        Folders by system. Without names, a single folder is `converted`, and several are called after themselves. A
        repeated name means several runs of one system, NAME#1, NAME#2, ...

    Raises
    ------
    ConfigError
        If a folder is not given, or a name is ambiguous or contains '#'.
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
            raise ConfigError(f"{option}: {name!r}: a name cannot contain '#'; name the system, NAME=DIR")
    runs = [names[:index].count(name) + 1 for index, name in enumerate(names)]
    numbered = [f"{name}#{run}" if names.count(name) > 1 else name for name, run in zip(names, runs)]
    return {name: folder for name, (_, folder) in zip(numbered, folders, strict=True)}


def first_process() -> bool:
    """Whether this is the first process of a distributed run, which is the one that prints."""
    return os.environ.get("RANK", "0") == "0"


def positive(text: str) -> int:
    """Parse a positive integer, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return number


def f0_range(floor: str, ceiling: str) -> "F0Range":  # noqa: F821 - imported late, it is not light
    """Parse an F0 search range in Hz; raises ConfigError for anything but two numbers."""
    from vc.features.f0 import F0Range

    try:
        return F0Range(float(floor), float(ceiling))
    except ValueError:
        raise ConfigError(f"--f0-range: expected two numbers in Hz, got {floor} {ceiling}") from None


def log_to_stderr(command: str) -> None:
    """Send the package's log to stderr, each line prefixed with the command's name."""
    handler = _AboveBars()
    handler.setFormatter(_OneLine(command))
    logger = logging.getLogger("vc")
    logger.handlers, logger.level = [handler], logging.INFO


def above_bars() -> contextlib.AbstractContextManager:
    """Clear progress bars while something else is written, which would share their line; they are drawn again after."""
    bar = getattr(sys.modules.get("tqdm"), "tqdm", None)  # not imported here: without it there are none
    return bar.external_write_mode(file=sys.stderr) if bar else contextlib.nullcontext()


class _AboveBars(logging.StreamHandler):
    """Writes to stderr, each record on a line of its own, whatever progress bar is there."""

    def emit(self, record: logging.LogRecord) -> None:
        with above_bars():
            super().emit(record)


class _OneLine(logging.Formatter):
    """One line per record, `command: warning: message`."""

    def __init__(self, command: str):
        super().__init__()
        self.command = command

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{self.command}: {level}{escaped(record.getMessage())}"


def say(text: object, file: TextIO | None = None, *, flush: bool = False) -> None:
    """Print lines to stdout or `file`, with control characters, which file names may contain, escaped."""
    with above_bars():
        for line in str(text).split("\n"):
            print(escaped(line), file=file, flush=flush)


def report(command: str, error: object) -> None:
    """Print an error to stderr, one line for each message of a VCError."""
    with above_bars():
        for line in error.args if isinstance(error, VCError) else [error]:
            print(f"{command}: error: {escaped(line)}", file=sys.stderr)


def warn(command: str, warning: object) -> None:
    """Print a warning to stderr, as one line."""
    with above_bars():
        print(f"{command}: warning: {escaped(warning)}", file=sys.stderr)


def run(
    command: str,
    work: Callable[[argparse.Namespace], int],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    *,
    intermixed: bool = False,
) -> int:
    """Parse the arguments, run the command, and report every error that a user can cause in one line.

    Parameters
    ----------
    command : str
        Its name, for messages.
    work : callable
        The command itself, from parsed arguments to exit status.
    parser : argparse.ArgumentParser
        Of its arguments.
    argv : sequence of str, optional
        Arguments. Default: those of the process.
    intermixed : bool
        Whether positional arguments may stand on both sides of an option.

    Returns
    -------
    int
        Exit status.
    """
    if argv is None:
        use_utf8()
    words = sys.argv[1:] if argv is None else argv
    # When intermixing, argparse would parse options after `--`; everything after it is positional anyway.
    mixed = intermixed and "--" not in words
    args = parser.parse_intermixed_args(words) if mixed else parser.parse_args(words)
    # Torch's threads should spin only briefly while they wait for each other. When another process needs a core, too,
    # long spinning makes a training step many times slower; no spinning at all makes it slower everywhere
    # (docs/experiments.md). GNU's OpenMP reads this once, when torch is imported.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    system.name_user()

    def stop(number: int, _: object) -> None:
        """Exit soon, whatever threads and other processes are doing, and remove unfinished files."""
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
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        report(command, f"not enough memory: {shorten(error)}")
        return 1


def use_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale has another encoding.

    Otherwise ids, lists and models would depend on the locale, since file names are bytes and lists are UTF-8. Output
    stays in the locale's encoding, with missing characters escaped.
    """
    if sys.getfilesystemencoding() != "utf-8" and "PYTHONUTF8" not in os.environ:
        os.environ["PYTHONUTF8"] = "1"
        os.environ.setdefault("PYTHONIOENCODING", f"{sys.getfilesystemencoding()}:backslashreplace")
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
