"""Have another process segment, so that the window never waits, and PyTorch is not in it.

Both matter: PyTorch's import alone would hold the window for seconds, and where Mesa draws, whose LLVM is another than
that of Triton, which PyTorch imports, it would end napari.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from queue import Empty, Queue
from threading import Lock, Thread
from typing import Any

import numpy as np

from medseg_ext.errors import DataError
from medseg_ext.napari.requests import Request
from medseg_ext.objects.segmented_array import SegmentedArray

COMMAND = [sys.executable, "-m", "medseg_ext.napari.service"]
LOG = "log"  # what the process says
ASKED_EVERY_S = 0.1


class Client:
    """The process that segments; it starts with the first image, and keeps bundles loaded until it is ended."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._guard = Lock()

    def segment(
        self,
        pixels: np.ndarray,
        *,
        is_cancelled: Callable[[], bool],
        when_tile_done: Callable[[int, int], object],
        **asked: Any,
    ) -> SegmentedArray | None:
        """Segment an array; one at a time.

        Args:
            pixels: grey (H, W) or RGB (H, W, 3).
            is_cancelled: is asked again and again; if it says so, the process is ended with what it is at, and the next
                array starts another.
            when_tile_done: of a large image, is called with the numbers of tiles that are done and that there are.
            asked: the other fields of `Request`.

        Returns:
            What was found; None where it was cancelled.

        Raises:
            DataError: why there is no result, in one line.
        """
        with self._guard:
            if self._process is None or not self._process.is_running:
                self.close()
                self._process = Process()
            process = self._process
            request = Request(
                pixels=str(process.folder / "pixels.npy"), result=str(process.folder / "result.npz"), **asked
            )
            np.save(request.pixels, pixels, allow_pickle=False)
            process.ask(request.to_line())
            while not is_cancelled():
                answer = process.next_answer(ASKED_EVERY_S)
                if answer is None:
                    continue
                if "tiles" in answer:
                    when_tile_done(*answer["tiles"])
                elif "done" in answer:
                    return SegmentedArray.load(Path(request.result))
                elif "error" in answer:
                    raise DataError(answer["error"])
                else:
                    reason = process.end()
                    raise DataError(
                        f"{request.name}: the process that segments ended before it was done ({reason}), as it does "
                        "when the memory is used up: end other programs, and try again"
                    )
            self.close()
            return None

    def close(self) -> None:
        """End the process, and remove its files."""
        if self._process is not None:
            self._process.end()
            self._process = None


class Process:
    """A process of `medseg_ext.napari.service`.

    Attributes:
        folder: for files that go to it and come from it; it goes with the process.
    """

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="medseg-")
        self.folder = Path(self._temporary.name)
        own_temporary = dict.fromkeys(
            ("TMPDIR", "TEMP", "TMP"), str(self.folder)
        )  # so that nothing stays of a killed one
        with (self.folder / LOG).open("w") as log:
            self._popen = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                env={**os.environ, **own_temporary},
            )
        self._answers: Queue[dict[str, Any]] = Queue()
        Thread(target=self._listen, daemon=True).start()

    @property
    def is_running(self) -> bool:
        """Whether it can be asked."""
        return self._popen.poll() is None

    def ask(self, line: str) -> None:
        """Send a line; what has ended meanwhile says so in an answer."""
        assert self._popen.stdin is not None
        with contextlib.suppress(OSError):
            self._popen.stdin.write(line)
            self._popen.stdin.flush()

    def next_answer(self, longest_s: float) -> dict[str, Any] | None:
        """Wait for an answer; empty where there will be none, None where there is none yet."""
        try:
            return self._answers.get(timeout=longest_s)
        except Empty:
            return None

    def end(self) -> str:
        """End it; returns its exit status, and what it said last."""
        self._popen.kill()
        status = self._popen.wait()
        said = ""
        with contextlib.suppress(OSError):  # ended before
            lines = (self.folder / LOG).read_text(errors="replace").splitlines()
            said = next((f", {line.strip()}" for line in reversed(lines) if line.strip()), "")
        self._temporary.cleanup()
        return f"status {status}{said}"

    def _listen(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._answers.put(json.loads(line))
        self._answers.put({})
