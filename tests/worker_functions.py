"""What workers do in tests."""

import os
import signal
import time


def double(number: int) -> int:
    time.sleep(0.01)
    return 2 * number


def fail(number: int) -> None:
    raise ValueError(f"{number} cannot be done")


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
