"""Files that appear whole or not at all."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

BLOCK = 1 << 20  # bytes read at once
_unfinished: set[Path] = set()


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
        _give_usual_mode(temporary)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        _unfinished.discard(temporary)


def abandon() -> None:
    """Remove every temporary file that this process is writing: for one that ends without unwinding."""
    for temporary in tuple(_unfinished):
        temporary.unlink(missing_ok=True)


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


def _give_usual_mode(path: Path) -> None:
    """mkstemp makes files private; give this one what open() would have given."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
