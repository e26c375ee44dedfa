"""Parallel map over processes or threads, with a progress bar on a terminal."""

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
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from vc import phrases
from vc.errors import DataError
from vc.files import abandon
from vc.messages import collected_warnings, warn_once
from vc.signals import exit_status

WIDTH, HEIGHT = 80, 20  # columns and rows of a terminal of unknown size
BAR_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n:.4g}/{total} [{elapsed}<{remaining}, {rate_fmt}]{postfix}"
TICK = 1.0  # seconds between refreshes of a bar
LOG_EVERY = 60.0  # seconds between log lines without a terminal
GRACE = 2.0  # seconds that a process of `map_processes` has to end after SIGTERM before it is killed
log = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def default_jobs() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_processes(
    function: Callable[[Item], Result], items: Iterable[Item], jobs: int, title: str
) -> Iterator[tuple[Item, Result | DataError]]:
    """Call a function on items in several processes, with a progress bar.

    Warnings that a process logs are logged in this one, each only once.

    Parameters
    ----------
    function : callable
        A function of one item; function, items and results must be picklable.
    items : iterable
        Items; with one item or one job, they are processed in this process.
    jobs : int
        Largest number of processes.
    title : str
        Title of the progress bar.

    Yields
    ------
    item, result
        In the order of the items; if the function raised DataError, that is the result.

    Raises
    ------
    DataError
        A worker process was killed.
    """
    items = list(items)
    with ProcessPool(min(jobs, len(items))) as pool:
        yield from pool.map(function, items, title)


class ProcessPool:
    """A pool of processes for several calls of `map`, which import what they need once; a context manager.

    Parameters
    ----------
    jobs : int
        Their number; with 1, `map` works in this process. They start at the first call that needs them.
    """

    def __init__(self, jobs: int):
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads can hang
        self._pool = ProcessPoolExecutor(jobs, context, _begin_process) if jobs > 1 else None

    def __enter__(self) -> "ProcessPool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown()

    def map(
        self, function: Callable[[Item], Result], items: Sequence[Item], title: str, *, here: bool = False
    ) -> Iterator[tuple[Item, Result | DataError]]:
        """Call a function on items, as `map_processes` does.

        Parameters
        ----------
        function, items, title
            As of `map_processes`.
        here : bool
            Whether to work in this process, for what takes less time than starting another.

        Yields
        ------
        item, result
            As from `map_processes`.
        """
        call = partial(_result_or_error, function)
        results = map(call, items) if here or self._pool is None else self._results(call, items)
        with progress(len(items), title) as bar:
            for item, result in zip(items, results):
                yield item, result
                bar.update()

    def _results(self, call: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Results of the pool's processes in order; what they warned of is logged here."""
        try:
            for result, warnings in self._pool.map(partial(_with_warnings, call), items):
                for name, text in warnings:
                    warn_once(logging.getLogger(name), text)
                yield result
        except BrokenProcessPool:
            text = "a worker process was killed, perhaps because memory ran out; try fewer --jobs"
            guard = 'a script that is not guarded by `if __name__ == "__main__":` needs jobs=1'
            raise DataError(f"{text}; {guard}") from None


def map_threads(
    function: Callable[[Item, Callable[[float], None]], Result], items: Iterable[Item], jobs: int, title: str
) -> Iterator[tuple[Item, Result | DataError]]:
    """Like `map_processes`, but with threads, for a function that mostly runs outside the interpreter lock.

    The function's keyword argument `advance` is a callback for the progress bar, to be called with the fraction of the
    item that is done.
    """
    items = list(items)
    with progress(len(items), title) as bar:
        lock, fractions = threading.Lock(), {}

        def advance(number: int, fraction: float) -> None:
            with lock:
                bar.update(min(fraction, 1.0) - fractions.get(number, 0.0))
                fractions[number] = min(fraction, 1.0)

        def work(numbered: tuple[int, Item]) -> Result | DataError:
            number, item = numbered
            result = _result_or_error(partial(function, advance=partial(advance, number)), item)
            advance(number, 1.0)
            return result

        for (_, item), result in map_ahead(work, enumerate(items), min(jobs, len(items))):
            yield item, result


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[tuple[Item, Result]]:
    """Yield `(item, function(item))` in order, while threads work on the next `jobs` items.

    Items are drawn from the iterable as needed, so that at most `jobs` of them are in memory.
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


def _with_warnings(function: Callable[[Item], Result], item: Item) -> tuple[Result, list[tuple[str, str]]]:
    """Result of a function, and the warnings that it logged: a process of the pool has no handlers for them."""
    with collected_warnings() as warnings:
        return function(item), warnings


def _begin_process() -> None:
    """Make a process of the pool end, without leaving unfinished files, on SIGTERM or when its parent dies."""

    def end(*_: object) -> None:
        abandon()
        os._exit(exit_status(signal.SIGTERM))

    def end_with_parent() -> None:
        multiprocessing.parent_process().join()
        end()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends them
    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_processes() -> None:
    """Terminate the processes of `map_processes`, and kill those that still run after GRACE (in C code, say)."""
    processes, deadline = multiprocessing.active_children(), time.monotonic() + GRACE
    for process in processes:
        process.terminate()
    living = {process.sentinel for process in processes}
    while living and (seconds := deadline - time.monotonic()) > 0:
        living -= set(multiprocessing.connection.wait(living, seconds))
    for process in processes:
        if process.sentinel in living:
            process.kill()


def _result_or_error(function: Callable[[Item], Result], item: Item) -> Result | DataError:
    """Return a DataError as a value, so that it does not stop the other items and can be sent between processes."""
    try:
        return function(item)
    except DataError as error:
        return error


@contextlib.contextmanager
def progress(total: int, title: str, initial: int = 0) -> Iterator[Any]:
    """A tqdm progress bar with speed and remaining time, refreshed during an item; without a terminal, log lines."""
    from tqdm import tqdm

    class Bar(tqdm):
        def update(self, n: float = 1) -> bool | None:
            return super().update(min(n, self.total - self.n))  # fractions of an item may add up to slightly more

    silent = not sys.stderr.isatty()
    known = silent or os.get_terminal_size(sys.stderr.fileno()).columns > 0  # some terminals report 0
    size = {"dynamic_ncols": True} if known else {"ncols": WIDTH, "nrows": HEIGHT}
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(LOG_EVERY if silent else TICK):
            if not silent:
                bar.refresh()
            elif bar.n > initial:
                left = phrases.duration(bar.format_dict["elapsed"] * (total - bar.n) / (bar.n - initial))
                done = f"{100 * bar.n:.0f} %" if total == 1 else f"{bar.n:.4g} of {total}"
                log.info("%s: %s, %s left", title, done, left)

    with (
        Path(os.devnull).open("w") as devnull,
        Bar(
            total=total, desc=title, initial=initial, file=devnull if silent else None, bar_format=BAR_FORMAT, **size
        ) as bar,
    ):
        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield bar
        finally:
            ended.set()
            ticker.join()
