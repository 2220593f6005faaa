"""Let contenders do the same work in turns."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measured import Measured, Measurement
from benchmarks.rows import OURS, PEERS, Contender, Row

ROOT = Path(__file__).parents[1]
OUT = ROOT / "out" / "bench"
FILES = OUT / "files"  # what contenders write
PEERS_PYTHON = ROOT / os.environ.get("VENV_PEERS", ".venv-peers") / "bin" / "python"
LEAST_ROUNDS, MOST_ROUNDS = 3, 15
THREADS = ("OMP", "MKL", "OPENBLAS", "NUMBA")
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in THREADS}


class AbsentError(Exception):
    """A contender that cannot take part; says why."""


class Worker:
    """A process that does one contender's work, see `benchmarks.worker`."""

    def __init__(self, contender: Contender, log: Path) -> None:
        python = PEERS_PYTHON if contender.environment == PEERS else Path(sys.executable)
        if not python.exists():
            raise AbsentError("not installed: make bench-peers")
        self.contender, self.log = contender, log
        log.parent.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [python, "-m", "benchmarks.worker"],
                cwd=ROOT,
                env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self._say({"target": contender.target, "arguments": dict(contender.arguments)})

    def prepared(self) -> float | None:
        """Wait until the work is prepared; return its amount.

        Raises:
            AbsentError: it cannot be.
        """
        return self._answer()["amount"]

    def work(self, core: int | None) -> Measurement:
        """Let the work be done once, on a core of the processor."""
        self._say(core)
        return Measurement(**self._answer())

    def close(self) -> None:
        """End the process."""
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _say(self, message: Any) -> None:
        assert self.process.stdin is not None
        try:
            print(json.dumps(message), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise AbsentError(self._last_words()) from None

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AbsentError(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        status = self.process.wait()
        lines = [line for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return f"{lines[-1].strip() if lines else f'ended with status {status}'} (see {self.log.relative_to(ROOT)})"


def hold(row: Row, tell: Callable[[str], None], *, most_rounds: int = MOST_ROUNDS) -> dict[str, Measured]:
    """Let the contenders of a row work in turns, and each time the other way round.

    Whatever disturbs the machine for a while so disturbs all of them alike. Before its first round each works once for
    its memory only, as libraries load the rest of themselves; one that has just one round does not.

    Args:
        row: what is to be done.
        tell: takes a word on how it goes.
        most_rounds: how many there are at most; at least `LEAST_ROUNDS`, if that is no more.

    Returns:
        What was measured, by contender; of an absent one the reason.

    Raises:
        AbsentError: ours cannot take part.
    """
    core = None if row.device != "cpu" else quiet_core()
    measured = {contender.name: Measured() for contender in row.contenders}
    with ExitStack() as stack:
        workers = []
        for contender in row.contenders:
            with _absence_noted(contender, measured):
                worker = Worker(contender, OUT / "logs" / f"{row.name}_{contender.name}_{row.device}.txt")
                stack.callback(worker.close)
                workers.append(worker)
        tell("preparing")
        workers = list(_prepared(workers, measured))
        begin, number = time.perf_counter(), 0
        while number < min(LEAST_ROUNDS, most_rounds) or (
            number < most_rounds and time.perf_counter() - begin < row.seconds
        ):
            for worker in workers[:: 1 if number % 2 else -1]:
                contender = worker.contender
                known = measured[contender.name]
                if known.absent or len(known.rounds) >= contender.most_rounds:
                    continue
                with _absence_noted(contender, measured):
                    if number == 0 and min(contender.most_rounds, most_rounds) > 1:
                        tell(f"{contender.name} warms up")
                        known.warm_up = worker.work(core)
                    tell(f"round {number + 1}, {contender.name}")
                    known.rounds[number] = worker.work(core)
            number += 1
    return measured


def _prepared(workers: list[Worker], measured: dict[str, Measured]) -> Iterator[Worker]:
    for worker in workers:
        with _absence_noted(worker.contender, measured):
            measured[worker.contender.name].amount = worker.prepared()
            yield worker


@contextmanager
def _absence_noted(contender: Contender, measured: dict[str, Measured]) -> Iterator[None]:
    try:
        yield
    except AbsentError as error:
        if contender.name == OURS:
            raise
        measured[contender.name].absent = str(error)


def quiet_core() -> int | None:
    """Choose the last core that this process may use, as the first has most of the system's work."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def emptied(folder: Path) -> Path:
    """Make a folder without anything in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
