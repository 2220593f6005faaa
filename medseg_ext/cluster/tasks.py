"""Run many tasks on workers, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker

PER_THREAD = 2  # tasks that are handed over: one is worked on, and one waits, so that no worker does
RETRIES = 2  # of a task that raises: another worker may have what one lacks
COUNT_AGAIN_S = 5.0  # how often threads are counted; workers come and go


@dataclass(frozen=True)
class Task:
    """A call that a worker is to make.

    Attributes:
        function: of a module that workers can import.
        arguments: small ones.
        take: gets what it returns, and gives the tasks that follow from it; these come before all others.
        give_up: gets the reason where workers died over it.
    """

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    take: Callable[[Any], Iterable[Task]]
    give_up: Callable[[str], None]


def run_tasks(client: Client, tasks: Iterable[Task], *, threads: Callable[[], int]) -> None:
    """Run tasks; only as many are taken and handed over as keep the workers busy.

    A task whose worker dies goes to another worker. The scheduler gives it up when that has happened several times,
    but may blame it for what another one did, which the same worker held. So it gets a second turn when all others are
    done, alone.

    Args:
        client: of Dask.
        tasks: taken one by one.
        threads: says how many tasks can be worked on at once.

    Raises:
        RuntimeError: the scheduler is gone. And whatever a task raises.
    """
    waiting: deque[Iterator[Task]] = deque([iter(tasks)])
    second_turn: deque[Task] = deque()
    running: dict[Future, Task] = {}
    ended: SimpleQueue[Future] = SimpleQueue()

    def submit(task: Task) -> None:
        future = client.submit(task.function, *task.arguments, pure=False, retries=RETRIES)
        running[future] = task
        future.add_done_callback(ended.put)

    counted, room, is_second = -COUNT_AGAIN_S, 0, False
    try:
        while True:
            if monotonic() - counted >= COUNT_AGAIN_S:
                counted, room = monotonic(), PER_THREAD * max(1, threads())
            if not (is_second and running):
                while len(running) < room and (task := _next(waiting)) is not None:
                    is_second = False
                    submit(task)
            if not running:
                if not second_turn:
                    return
                is_second = True
                submit(second_turn.popleft())
            try:
                future = ended.get(timeout=COUNT_AGAIN_S)
            except Empty:
                continue
            task = running.pop(future)
            try:
                result = future.result()
            except KilledWorker as error:
                if is_second:
                    task.give_up(_reason(2 * (error.allowed_failures + 1)))
                else:
                    second_turn.append(task)
            except CancelledError as error:
                raise RuntimeError("the Dask scheduler, or the connection to it, is gone") from error
            else:
                waiting.appendleft(iter(task.take(result)))
    finally:
        with suppress(Exception):  # the scheduler may be gone, and the error that ends the run is to be told
            client.cancel(list(running))


def _reason(deaths: int) -> str:
    return f"the process that worked on it died, {deaths} times, as for want of memory: use fewer workers"


def _next(waiting: deque[Iterator[Task]]) -> Task | None:
    while waiting:
        for task in waiting[0]:
            return task
        waiting.popleft()
    return None
