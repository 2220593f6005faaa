"""A process that holds the lock of a folder, as a run does that is going on."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundle_settings import ROOT

HOLD = """
import sys, time
from medseg_ext.folder_lock import FolderLock
lock = FolderLock(sys.argv[1], what="a training")
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""


@contextmanager
def holder_of(folder: Path) -> Iterator[subprocess.Popen]:
    """Start it; it is killed in the end."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.communicate()
