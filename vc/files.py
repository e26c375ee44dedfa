"""Files that appear whole or not at all."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from vc.errors import DataError

BLOCK = 1 << 20  # bytes read at once
_unfinished: set[Path] = set()


@contextlib.contextmanager
def temporary_space() -> Iterator[None]:
    """Where only temporary files are written: a full disk is that of theirs, and not that of any output."""
    try:
        yield
    except OSError as error:
        place = os.environ.get("TMPDIR") or tempfile.gettempdir()
        raise DataError(
            f"{place}: {error.strerror}: temporary files go there; set TMPDIR to a folder with more room"
        ) from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds, remove it if not.

    The temporary name is short, so that a long `path` still fits; file and folder are synced to disk.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=".vc-", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    _unfinished.add(temporary)
    try:
        yield temporary
        temporary.chmod(_USUAL_MODE)  # mkstemp makes files private
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:  # a user knows the file by its own name
        error.filename = error.filename if error.filename not in (None, name) else str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def abandon() -> None:
    """Remove every temporary file that this process is writing: for one that ends without unwinding."""
    for temporary in tuple(_unfinished):
        temporary.unlink(missing_ok=True)


def make_directory(path: Path) -> None:
    """Make `path` and its parents where they are missing, for good: a power loss cannot take them."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in missing:
        _sync(place.parent)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files of a process that was killed while it wrote into `directory`."""
    for leftover in directory.glob(".vc-*.tmp"):
        leftover.unlink()


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 (file names that are not UTF-8 keep their bytes), whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")


def sha256(path: Path) -> str:
    """Digest of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _usual_mode() -> int:
    """What open() gives a file. Asked once: asking changes it for a moment, for every thread."""
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


_USUAL_MODE = _usual_mode()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        os.close(descriptor)
