"""One function over many items on several cores, with a progress bar on a terminal."""

import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from vc import phrases
from vc.errors import DataError
from vc.files import abandon
from vc.signals import exit_status

WIDTH, HEIGHT = 80, 20  # columns and rows of a terminal that does not say
BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n:.4g}/{total} [{elapsed}<{remaining}, {rate_fmt}]{postfix}"
TICK = 1.0  # seconds after which a bar's clock goes on
LOG_EVERY = 60.0  # seconds, of lines where there is no terminal
GRACE = 2.0  # seconds in which a process of `map_processes` may end by itself once it is asked to
log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def default_jobs() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_processes(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, title: str
) -> Iterator[tuple[Item, Result | DataError]]:
    """Call a function on items in several processes, with a progress bar.

    Parameters
    ----------
    function : callable
        Of one item; it, items and results are pickled.
    items : iterable
        A single item is worked on in this process, as all are for one job.
    jobs : int
        Processes, at most.
    title : str
        Of the progress bar.

    Yields
    ------
    item, result
        In the items' order; the result is the DataError where one was raised.

    Raises
    ------
    DataError
        A process was killed.
    """
    items, call = list(items), partial(_result_or_error, function)
    with progress(len(items), title) as bar:
        for item, result in zip(items, _results(call, items, jobs)):
            yield item, result
            bar.update()


def map_threads(
    function: Callable[[Item, Callable[[float], None]], Result], items: Iterable[Item], jobs: int, title: str
) -> Iterator[tuple[Item, Result | DataError]]:
    """`map_processes` by threads, for a function that releases the interpreter's lock for most of its time.

    The function's second argument is a function that it calls with the share of the item that is done, for the bar.
    """
    items = list(items)
    with progress(len(items), title) as bar:
        lock, shares = threading.Lock(), {}

        def advance(number: int, share: float) -> None:
            with lock:
                bar.update(min(share, 1.0) - shares.get(number, 0.0))
                shares[number] = min(share, 1.0)

        def work(numbered: tuple[int, Item]) -> Result | DataError:
            number, item = numbered
            result = _result_or_error(partial(function, advance=partial(advance, number)), item)
            advance(number, 1.0)
            return result

        for (_, item), result in map_ahead(work, enumerate(items), min(jobs, len(items))):
            yield item, result


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[tuple[Item, Result]]:
    """Yield `(item, function(item))` in the items' order, by threads that work on the next `jobs` items meanwhile.

    Items are taken from their source as they are needed, so that no more than `jobs` of them are held.
    """
    items = iter(items)
    if jobs <= 1:
        yield from ((item, function(item)) for item in items)
        return
    waiting: deque[tuple[Item, Future]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            while True:
                waiting.extend((item, pool.submit(function, item)) for item in islice(items, jobs - len(waiting)))
                if not waiting:
                    return
                item, future = waiting.popleft()
                yield item, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _results(function: Callable[[Item], Result], items: list[Item], jobs: int) -> Iterator[Result]:
    if jobs <= 1 or len(items) <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
    try:
        with ProcessPoolExecutor(min(jobs, len(items)), context, _begin_process) as pool:
            yield from pool.map(function, items)
    except BrokenProcessPool:
        raise DataError("a worker process was killed, perhaps for want of memory; try fewer --jobs") from None


def _begin_process() -> None:
    """Prepare a process of the pool: it ends, without unfinished files, when it is asked to or its parent has died."""

    def end(*_: object) -> None:
        abandon()
        os._exit(exit_status(signal.SIGTERM))

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        end()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the terminal sends to all; the parent asks
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_processes() -> None:
    """Ask the processes of `map_processes` to end, and end those by force that are too deep in C code to notice."""
    processes, patience = multiprocessing.active_children(), time.monotonic() + GRACE
    for process in processes:
        process.terminate()
    living = {process.sentinel for process in processes}
    while living and (seconds := patience - time.monotonic()) > 0:
        living -= set(multiprocessing.connection.wait(living, seconds))
    for process in processes:
        if process.sentinel in living:
            process.kill()


def _result_or_error(function: Callable[[Item], Result], item: Item) -> Result | DataError:
    """A fault of one item must not end the others, and crosses to the parent process as a value."""
    try:
        return function(item)
    except DataError as error:
        return error


@contextlib.contextmanager
def progress(total: int, title: str, initial: int = 0) -> Iterator[Any]:
    """A bar with speed and time left, whose clock also runs within an item; without a terminal, lines of the log."""
    from tqdm import tqdm

    class Bar(tqdm):
        def update(self, n: float = 1) -> bool | None:
            return super().update(min(n, self.total - self.n))  # shares of an item may add up to a little more

    silent = not sys.stderr.isatty()
    wide = silent or os.get_terminal_size(sys.stderr.fileno()).columns > 0  # some terminals do not say
    size = {"dynamic_ncols": True} if wide else {"ncols": WIDTH, "nrows": HEIGHT}
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(LOG_EVERY if silent else TICK):
            if not silent:
                bar.refresh()
            elif bar.n > initial:
                left = phrases.duration(bar.format_dict["elapsed"] * (total - bar.n) / (bar.n - initial))
                log.info("%s: %.4g of %d, %s left", title, bar.n, total, left)

    with (
        Path(os.devnull).open("w") as nowhere,
        Bar(
            total=total, desc=title, initial=initial, file=nowhere if silent else None, bar_format=BAR_FORMAT, **size
        ) as bar,
    ):
        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield bar
        finally:
            ended.set()
            ticker.join()
