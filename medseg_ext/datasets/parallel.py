"""Map a function over items on several processes, in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process, resource_tracker
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM)

_function: Callable[[Any], Any]  # of this worker process


def parallel_map(
    make_function: Callable[[], Callable[[Item], Result]], items: Sequence[Item], *, workers: int | None = None
) -> Generator[Result, None, None]:
    """Yield the result for each item; close the iterator to stop early.

    Args:
        make_function: gives the function; called once in each process, so it can open what all items need.
        items: what to work on.
        workers: number of processes, all cores if None; with 1 the work is done in this process.
    Raises: MemoryError: a worker process was killed; and whatever the function raises.
    """
    workers = min(workers or os.cpu_count() or 1, len(items))
    if workers <= 1:
        yield from map(make_function(), items)
        return
    # spawn: the same on every system, and safe beside the threads of other libraries
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (make_function,))
    try:
        with _undisturbed():
            results = pool.map(_work, items)
        yield from results
    except BrokenProcessPool as error:
        raise MemoryError("a worker process was killed, probably for want of memory: use fewer workers") from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Start processes before an interruption is heard: one that is just being started would complain.

    They are never told of Ctrl-C, not even while they load: they inherit what is blocked.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield
        return
    heard: list[int] = []
    before = {number: signal.signal(number, lambda number, _: heard.append(number)) for number in INTERRUPTIONS}
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # it unblocks Ctrl-C when it starts
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in heard:
            signal.raise_signal(each)


def _start_worker(make_function: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then stops its workers
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    _function = make_function()


def _exit_with_parent() -> None:
    """End this worker if its parent was killed; it would wait for work for ever."""
    if parent := parent_process():
        parent.join()
    os._exit(1)


def _work(item: Any) -> Any:
    return _function(item)
