"""End a command with one line, and the status that shells give it, when it is interrupted."""

# Only what Python has loaded by then anyway: Ctrl-C may come any moment.
from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Ctrl-C, or SIGTERM, by which schedulers and `kill` ask a process to end.

    Either raises `KeyboardInterrupt`, so that workers are stopped and files closed on the way out. While a module is
    being imported the process ends at once: libraries swallow the exception, or take it for a failure of their own, and
    there is nothing to tidy up. A second signal ends it at once, too. Forked processes leave Ctrl-C to their parent.

    Args:
        ends_process: whether nothing but the end of the process comes after the command: a signal then is ignored, as
            all is done.

    Attributes:
        advice: says how to go on, such as "; to go on: medseg ...".
    """

    def __init__(self, *, ends_process: bool = False) -> None:
        self.advice: Callable[[], str] = str
        self._ends_process = ends_process
        self._number = 0

    def guard(self, command: Callable[[], int]) -> int:
        """Run a command.

        Returns:
            Its status; 130 if Ctrl-C, 143 if SIGTERM has ended it.
        """
        before = {}
        for number in SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup`, or a shell has it for what runs beside it
                try:
                    before[number] = signal.signal(number, self._stop)
                except ValueError:  # in a thread; only the main one can be told
                    break
        try:
            try:
                return command()
            finally:
                if not self._number:
                    for number, handler in before.items():
                        signal.signal(number, signal.SIG_IGN if self._ends_process else handler)
        except BaseException:  # also what a library makes of it
            if not self._number:
                raise
        try:
            advice = self.advice()
        except OSError:  # a folder that cannot be looked into
            advice = ""
        _say(f"stopped{advice}")
        return 128 + self._number

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self._number or _is_importing(frame):
            if not self._number:
                _say("stopped")
            os._exit(128 + number)
        self._number = number
        raise KeyboardInterrupt


def is_first_process() -> bool:
    """Say whether this is the only process, or the first of those that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


def _say(line: str) -> None:
    if is_first_process():
        print(line, file=sys.stderr, flush=True)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave_to_parent() -> None:
    for number, handler in zip(SIGNALS, (signal.SIG_IGN, signal.SIG_DFL), strict=True):
        if isinstance(getattr(signal.getsignal(number), "__self__", None), Interruption):
            signal.signal(number, handler)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
