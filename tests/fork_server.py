"""Run commands of Python in processes that are forked from one that has imported what they need.

As a program it is that process, told on its command line what to import: it reads requests from stdin, a line of JSON
each, and writes what becomes of them. A command costs tens of milliseconds so, and not the six seconds that its imports
take.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import runpy
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Ended:
    """What became of a command.

    Attributes:
        status: its exit status; negative, the number of the signal that ended it.
        out: what it wrote to stdout.
        err: what it wrote to stderr.
        seconds: it took.
        peak_mb: the most memory that it or one of its workers had.
        killed_at_deadline: whether it was ended for taking too long.
    """

    status: int
    out: str
    err: str
    seconds: float
    peak_mb: float
    killed_at_deadline: bool

    @property
    def last_line(self) -> str:
        """The last line that it wrote to stderr, but for progress bars, with the list that follows it, if one does."""
        lines = [line for line in self.err.replace("\r", "\n").splitlines() if line.strip()]
        first = max((number for number, line in enumerate(lines) if not line.startswith("  ")), default=0)
        return "\n".join(lines[first:])


class Command:
    """A command that runs.

    Attributes:
        pid: of its process, which leads a group and a session of its own.
    """

    def __init__(self, pid: int, folder: Path, number: int) -> None:
        self.pid = pid
        self._out, self._err = folder / f"{number}.out", folder / f"{number}.err"
        self._started = time.monotonic()
        self._ended: Mapping[str, Any] | None = None
        self._has_ended = threading.Event()

    def tell(self, ended: Mapping[str, Any]) -> None:
        """Take the news that it has ended."""
        self._ended = ended
        self._has_ended.set()

    def signal(self, number: int, *, to_all: bool = False) -> None:
        """Send it a signal, or all of its group."""
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if to_all else os.kill)(self.pid, number)

    def wait(self, timeout_s: float = 120) -> Ended:
        """Wait for its end; one that takes too long is killed."""
        late = not self._has_ended.wait(timeout_s)
        if late:
            self.signal(signal.SIGKILL, to_all=True)
            self._has_ended.wait(30)
        assert self._ended is not None
        out, err = (file.read_text(errors="surrogateescape") for file in (self._out, self._err))
        seconds = time.monotonic() - self._started
        return Ended(self._ended["status"], out, err, seconds, self._ended["peak_kb"] / 1024, late)

    def has_ended(self, timeout_s: float) -> bool:
        """Wait for some time, and say whether it has ended."""
        return self._has_ended.wait(timeout_s)

    def left_behind(self, patience_s: float = 20) -> list[int]:
        """List the processes of its session that are left after its end and some patience."""
        deadline = time.monotonic() + patience_s
        while (left := _processes_of(self.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left


class ForkServer:
    """The process that commands are forked from.

    Args:
        folder: for what they write to stdout and stderr.
        imported: names of the modules that it imports, those that are missing left out.
        environment: its variables; by default those of this process.
    """

    def __init__(self, folder: Path, imported: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._commands: dict[int, Command] = {}
        self._number = 0
        self._process = subprocess.Popen(
            [sys.executable, __file__, *imported], cwd=ROOT, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._started = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def start(
        self,
        *words: object,
        module: str = "medseg_ext.cli",
        cwd: Path = ROOT,
        variables: Mapping[str, str] | None = None,
        limits: Mapping[str, int] | None = None,
        without_rights: bool = False,
    ) -> Command:
        """Start `python -m module` with words.

        Args:
            *words: of the command line.
            module: the module that is run; by default `medseg`.
            cwd: its working directory.
            variables: of its environment, over those of the server.
            limits: of the system, `RLIMIT_FSIZE` in bytes, or `RLIMIT_AS` in bytes more than the process has.
            without_rights: give up the right of root to every file.
        """
        self._number += 1
        texts = [str(word) for word in words]
        request = {
            "number": self._number, "folder": str(self._folder), "module": module, "words": texts, "cwd": str(cwd),
            "variables": variables or {}, "limits": limits or {}, "without_rights": without_rights,
        }  # fmt: skip
        assert self._process.stdin is not None
        self._started.clear()
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        self._started.wait(180)
        return self._latest

    def run(self, *words: object, timeout_s: float = 120, **options: Any) -> Ended:
        """Run a module with words, as `start` does, and wait for its end."""
        return self.start(*words, **options).wait(timeout_s)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            news = json.loads(line)
            if "status" in news:
                self._commands.pop(news["pid"]).tell(news)
            else:
                self._latest = self._commands[news["pid"]] = Command(news["pid"], self._folder, news["number"])
                self._started.set()


def _processes_of(session: int) -> list[int]:
    """List the processes of a session that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def _serve(imported: Sequence[str]) -> None:
    """Import what commands need, and fork for each request."""
    from importlib import import_module

    answers = os.dup(1)  # what libraries print goes elsewhere
    os.dup2(2, 1)
    for name in imported:
        with contextlib.suppress(ImportError):
            import_module(name)
    gc.freeze()  # so that a collection in a command does not copy all these pages
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for request in _requests(woken, answers):
        pid = os.fork()
        if pid == 0:
            os.close(answers)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _become(request)
        _say(answers, {"pid": pid, "number": request["number"]})


def _requests(woken: int, answers: int) -> Iterator[Mapping[str, Any]]:
    pending = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            with contextlib.suppress(ChildProcessError):
                while (ended := os.wait4(-1, os.WNOHANG))[0]:
                    status = os.waitstatus_to_exitcode(ended[1])
                    _say(answers, {"pid": ended[0], "status": status, "peak_kb": ended[2].ru_maxrss})
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            yield from map(json.loads, lines)


def _say(answers: int, news: Mapping[str, Any]) -> None:
    os.write(answers, json.dumps(news).encode() + b"\n")


def _become(request: Mapping[str, Any]) -> None:
    """Be a command, from its beginning to its end, as `python -m` has it."""
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.update(request["variables"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, kind in ((1, "out"), (2, "err")):
        file = Path(request["folder"]) / f"{request['number']}.{kind}"
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _limit(request["limits"])
    if request["without_rights"]:
        _give_up_rights()
    sys.path[0] = request["cwd"]
    sys.argv[1:] = request["words"]
    runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    sys.exit()


def _limit(limits: Mapping[str, int]) -> None:
    for name, value in limits.items():
        more = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        value += more if name == "RLIMIT_AS" else 0
        resource.setrlimit(getattr(resource, name), (value, value))


def _give_up_rights() -> None:
    """Give up the capabilities of root that pass over the rights to files; others have none."""
    if os.geteuid() == 0:
        passing_over = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, twice
        if libc.capget(header, sets) == 0:
            sets[0] &= ~passing_over
            libc.capset(header, sets)


if __name__ == "__main__":
    _serve(sys.argv[1:])
