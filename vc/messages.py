"""The package's log messages."""

import contextlib
import logging
from collections.abc import Iterator


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
