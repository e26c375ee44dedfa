"""One function over many items on several cores, with a progress bar on a terminal."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_jobs() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mapped(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, title: str
) -> Iterator[tuple[Item, Result]]:
    """Give `(item, function(item))` in the items' order; processes, because WORLD may hold the interpreter's lock."""
    items = list(items)
    bar = progress(len(items), title)
    if jobs <= 1 or len(items) <= 1:
        for item in items:
            yield item, function(item)
            bar.update()
    else:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
        with ProcessPoolExecutor(min(jobs, len(items)), mp_context=context) as pool:
            for item, result in zip(items, pool.map(function, items)):
                yield item, result
                bar.update()
    bar.close()


def progress(total: int, title: str, initial: int = 0) -> Any:
    """A progress bar with speed and time left; silent where stderr is no terminal."""
    from tqdm import tqdm

    return tqdm(total=total, desc=title, initial=initial, disable=not sys.stderr.isatty(), dynamic_ncols=True)
