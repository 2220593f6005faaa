"""Start workers on this machine, or connect to those of a cluster."""

from __future__ import annotations

import importlib.util
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from tornado.ioloop import PeriodicCallback

from medseg_ext.errors import DataError

# Of worker processes that die over a task before it is given up, less one. Each image has two turns: see `run_tasks`.
ALLOWED_FAILURES = 2
REVIVAL_MS = 5000
LOCAL_CONFIG = {
    # A worker holds a network, and results are small: nothing to spill, and a pause would never end.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    # By default one that was killed and takes longer to come back is given up.
    "distributed.deploy.lost-worker-timeout": "120s",
}


@dataclass(frozen=True)
class Connection:
    """Workers that are at hand.

    Attributes:
        client: of Dask.
        threads_per_image: with which a worker is to compute; None for as many as it says that it has.
        threads: says how many images can be worked on at once, now.
    """

    client: Client
    threads_per_image: int | None
    threads: Callable[[], int]


@contextmanager
def start_workers(number: int, *, verbose: bool = False) -> Iterator[Connection]:
    """Start processes on this machine, which end with this one however it ends.

    Args:
        number: of processes; they share the cores and the memory evenly.
        verbose: leave Dask's log in the terminal.

    Raises:
        DataError: less than one.
    """
    if number < 1:
        raise DataError(f"--workers {number}: expected a number of processes, at least 1")
    has_dashboard = importlib.util.find_spec("bokeh") is not None
    with dask.config.set(LOCAL_CONFIG), without_interrupts():
        # Processes are started later, by the threads that are started here, and so have no interrupts either.
        cluster = LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            memory_limit=1 / number,  # of all
            dashboard_address="127.0.0.1:0",  # any port: two may run at once
            silence_logs=False if verbose else logging.CRITICAL,
            scheduler_kwargs={"allowed_failures": ALLOWED_FAILURES},
        )
    with dask.config.set(LOCAL_CONFIG), cluster, Client(cluster) as client:
        loop = client.loop
        # It starts them, and those again that were killed before they were up, which Dask does not by itself.
        revival = PeriodicCallback(lambda: cluster.scale(number), REVIVAL_MS)
        loop.add_callback(revival.start)
        if has_dashboard:
            print(f"dashboard {client.dashboard_link}", file=sys.stderr)
        try:
            yield Connection(client, max(1, CPU_COUNT // number), lambda: number)
        finally:
            loop.add_callback(revival.stop)


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Keep Ctrl-C, which a terminal sends to all of its processes, from this thread and from what it starts."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # whoever starts it, at the first process, lets interrupts through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def connect(address: str) -> Iterator[Connection]:
    """Connect to the scheduler of a cluster.

    Args:
        address: such as tcp://host:8786.

    Raises:
        DataError: nothing answers there.
    """
    try:
        client = Client(address)
    except (OSError, ValueError) as error:
        raise DataError(f"no Dask scheduler answers at {address} ({error}): start one with `dask scheduler`") from error
    with client:
        if importlib.util.find_spec("bokeh") is not None:
            print(f"dashboard {client.dashboard_link}", file=sys.stderr)
        if not client.nthreads():
            print(f"waiting for workers at {address}", file=sys.stderr)
        yield Connection(client, None, lambda: sum(client.nthreads().values()))
