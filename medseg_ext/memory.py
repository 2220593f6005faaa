"""Say how much a file may take of the memory."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from medseg_ext.errors import DataError

MOST_BYTES = 3 * 10**9  # of what a file becomes when it is decoded, with what its decoding takes
SHARE_AT_HAND = 0.5  # of the memory at hand, which is less on small machines
TEXT_GROWS = 5  # times, when JSON becomes objects
CGROUP = Path("/sys/fs/cgroup")


def memory_at_hand() -> int:
    """Tell how many bytes this process can still have, by the machine, its container and its own limit.

    Where the system does not tell, it is as much as can be addressed.
    """
    known = [sys.maxsize]
    with contextlib.suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        known += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    with contextlib.suppress(OSError, ValueError):
        limit, current = (int((CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        known.append(limit - current)
    if sys.platform != "win32":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            with contextlib.suppress(OSError, ValueError, IndexError):
                pages = int(Path("/proc/self/statm").read_text().split()[0])
                known.append(limit - pages * os.sysconf("SC_PAGESIZE"))
    return max(0, min(known))


def most_bytes() -> int:
    """Tell how many bytes a file may become when it is decoded: `MOST_BYTES`, or half of the memory at hand."""
    return min(MOST_BYTES, int(SHARE_AT_HAND * memory_at_hand()))


def check_bytes(n_bytes: int, where: str, *, remedy: str = "cut it into smaller images") -> None:
    """Refuse what would take more memory than a file may, before it is decoded.

    Args:
        n_bytes: that it takes at most at a time.
        where: name of the file, for the message.
        remedy: what to do about it.
    Raises: DataError: it is more than `most_bytes`; names the file and both sizes.
    """
    if n_bytes > 2**24 and n_bytes > (limit := most_bytes()):  # few need not be asked for
        raise DataError(
            f"{where} would take {n_bytes / 1e9:.1f} GB of memory, and at most {limit / 1e9:.1f} GB are given to a "
            f"file: {remedy}"
        )
