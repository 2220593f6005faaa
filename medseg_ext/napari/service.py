"""Segment what napari asks for, in a process of its own: `python -m medseg_ext.napari.service`.

It reads a `Request` a line, and answers in lines of JSON: `{"tiles": [done, number]}` of a large image, at last
`{"done": true}` or `{"error": "one line"}`. It ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from medseg_ext.errors import one_line
from medseg_ext.napari.requests import Request


class Service:
    """Bundles that stay loaded, each once; again where the file of its weights is another since.

    Args:
        answers: takes the lines.
    """

    def __init__(self, answers: TextIO) -> None:
        self._answers = answers
        self._loaded: dict[tuple[str, str | None], tuple[object, Any]] = {}

    def answer(self, line: str) -> None:
        """Do what is asked for, and say what came of it."""
        try:
            request = Request.from_line(line)
            segmenter = self.segmenter_of(request.bundle, request.weights)
            found = segmenter.segment(
                np.load(request.pixels),
                name=request.name,
                pixel_size_um=request.pixel_size_um,
                object_diameter_px=request.object_diameter_px,
                when_tile_done=lambda done, number: self._say(tiles=[done, number]),
            )
            found.save(Path(request.result))
        except (OSError, RuntimeError, ValueError, MemoryError) as error:  # those that `medseg` tells in one line
            self._say(error=one_line(error))
        else:
            self._say(done=True)

    def segmenter_of(self, bundle: str, weights: str | None) -> Any:
        """Give a bundle that is ready."""
        from medseg_ext.bundle.array_segmentation import ArraySegmenter  # here: its errors are told
        from medseg_ext.files import WEIGHTS_FILE

        file = Path(weights or Path(bundle, WEIGHTS_FILE))
        state = (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None
        known = self._loaded.get((bundle, weights))
        if known is None or known[0] != state:
            overrides = {"ckpt_path": Path(weights)} if weights else {}
            known = self._loaded[bundle, weights] = state, ArraySegmenter(Path(bundle), overrides=overrides)
        return known[1]

    def _say(self, **answer: Any) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def main() -> None:
    """Answer line after line."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    service = Service(answers)
    for line in sys.stdin:
        service.answer(line)


if __name__ == "__main__":
    main()
