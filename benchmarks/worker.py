"""Do one contender's work in a process of its own, and measure it.

The process talks JSON, a line each way: first the work that is wanted, `{"target": "module:function", "arguments":
{...}}`, of which the function prepares all and returns the `Work`. To each number of a processor's core that follows,
or null for any, it does the work once and answers with the times and the memory. Standard library only: peers run it in
an environment of their own.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

PROCESS = Path("/proc/self")  # Linux only: elsewhere no core is chosen, and memory is that of the whole process
BYTES_OF_MAXRSS = 1 if sys.platform == "darwin" else 1024


class Work(NamedTuple):
    """What is measured.

    Attributes:
        call: does it once; what it returns goes into the results, as JSON.
        amount: of it, in the row's unit, such as megapixels.
    """

    call: Callable[[], Any]
    amount: float | None = None


def main() -> None:
    """Serve until the input ends."""
    # Libraries print what they like: the answers have a pipe of their own, and prints go to the log.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    wanted = json.loads(sys.stdin.readline())
    module, _, function = wanted["target"].partition(":")
    work: Work = getattr(importlib.import_module(module), function)(**wanted["arguments"])
    print(json.dumps({"amount": work.amount}), file=answers, flush=True)
    for line in sys.stdin:
        stay_on_core(json.loads(line))
        print(json.dumps(measured(work.call)), file=answers, flush=True)


def measured(call: Callable[[], Any]) -> dict[str, Any]:
    """Do the work once.

    Returns:
        `cpu_s` of all threads and of processes that have ended, `wall_s`, `memory_mb` that the work needed at its peak
        above what the process held before, and `result`, what the call returned.
    """
    before_mb = restart_peak_memory()
    cpu, wall = cpu_time_s(), time.perf_counter()
    result = call()
    return {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": cpu_time_s() - cpu,
        "memory_mb": max(0.0, peak_memory_mb() - before_mb),
        "result": result,
    }


def cpu_time_s() -> float:
    """Tell the time that this process, and those it has waited for, have had on processors."""
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + of_children.ru_utime + of_children.ru_stime


def restart_peak_memory() -> float:
    """Let the peak of the memory begin anew; return what is held now, in MB."""
    if not PROCESS.exists():
        return peak_memory_mb()
    (PROCESS / "clear_refs").write_text("5")  # see proc(5)
    return peak_memory_mb()


def peak_memory_mb() -> float:
    """Tell the most memory that this process held, and the processes that it has waited for, in MB."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * BYTES_OF_MAXRSS / 1e6
    if not PROCESS.exists():
        return max(children, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * BYTES_OF_MAXRSS / 1e6)
    lines = (PROCESS / "status").read_text().splitlines()
    return max(children, next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6)


def stay_on_core(core: int | None) -> None:
    """Keep all threads on a core, those too that libraries have started."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        for thread in (PROCESS / "task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


if __name__ == "__main__":
    main()
