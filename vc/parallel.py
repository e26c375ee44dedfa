"""One function over many items on several cores, with a progress bar on a terminal."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, TypeVar

from vc.errors import DataError

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_jobs() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mapped(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, title: str
) -> Iterator[tuple[Item, Result | DataError]]:
    """Give `(item, function(item))`, or the item and its DataError, in the items' order.

    By processes, because WORLD may hold the interpreter's lock.
    """
    items = list(items)
    bar = progress(len(items), title)
    for item, result in zip(items, _results(partial(_caught, function), items, jobs)):
        yield item, result
        bar.update()
    bar.close()


def _results(function: Callable[[Item], Result], items: list[Item], jobs: int) -> Iterator[Result]:
    if jobs <= 1 or len(items) <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    try:
        with ProcessPoolExecutor(min(jobs, len(items)), mp_context=context) as pool:
            yield from pool.map(function, items)
    except BrokenProcessPool:
        raise DataError("a worker process was killed, perhaps for want of memory; try fewer --jobs") from None


def _caught(function: Callable[[Item], Result], item: Item) -> Result | DataError:
    """A fault of one item must not end the others, and crosses to the parent process as a value."""
    try:
        return function(item)
    except DataError as error:
        return error


def progress(total: int, title: str, initial: int = 0) -> Any:
    """A progress bar with speed and time left; silent where stderr is no terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=title, initial=initial, disable=not sys.stderr.isatty(), dynamic_ncols=True)
