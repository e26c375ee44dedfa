"""The package's log messages."""

import contextlib
import logging
from collections.abc import Iterator

_warnings: set[tuple[str, str]] = set()  # logger and text of those that `warn_once` has logged


@contextlib.contextmanager
def errors_only(name: str = "vc") -> Iterator[None]:
    """Log nothing below an error for the duration of the `with` block, in all threads; not from two threads at once.

    Parameters
    ----------
    name : str
        Logger, whose descendants are included unless they have levels of their own. Default: the whole package's.
    """
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def warn_once(logger: logging.Logger, text: str) -> None:
    """Log a warning unless it was logged before: several passes, in several processes, may read one recording."""
    if logger.isEnabledFor(logging.WARNING) and (logger.name, text) not in _warnings:
        _warnings.add((logger.name, text))
        logger.warning("%s", text)


@contextlib.contextmanager
def collected_warnings() -> Iterator[list[tuple[str, str]]]:
    """Collect the package's warnings during the `with` block, as logger and text, in addition to logging them."""
    warnings: list[tuple[str, str]] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append((record.name, record.getMessage()))
    logger = logging.getLogger("vc")
    logger.addHandler(handler)
    try:
        yield warnings
    finally:
        logger.removeHandler(handler)
