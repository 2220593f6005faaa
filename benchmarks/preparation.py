"""Preparation of a data set."""

from __future__ import annotations

from itertools import count

import numpy as np
from PIL import Image

from benchmarks.contest import FILES
from benchmarks.pictures import SAMPLE, SAMPLE_IMAGES
from benchmarks.rows import OURS, Contender, Row
from benchmarks.worker import Work

RAW = SAMPLE / "raw" / "dsb2018" / "stage1_train"

ROWS = [
    Row(
        "prepare",
        f"Preparation of {SAMPLE_IMAGES['dsb2018']} drawn images of DSB2018, in one process",
        [
            Contender(OURS, "benchmarks.preparation:prepared"),
            Contender("reading", "benchmarks.preparation:read"),
        ],
        seconds=20,
        unit="image",
        left_out="The other only reads the same files, by PIL.",
    )
]


def prepared() -> Work:
    """Prepare as `medseg prepare` does."""
    from medseg_ext.datasets.dsb2018 import prepare_dsb2018

    numbers = count()
    return Work(
        lambda: prepare_dsb2018(RAW, FILES / f"prepared{next(numbers)}", workers=1) and None, SAMPLE_IMAGES["dsb2018"]
    )


def read() -> Work:
    """Read the files that are prepared."""
    files = list(RAW.rglob("*.png"))
    return Work(lambda: sum(np.asarray(Image.open(file)).size for file in files), SAMPLE_IMAGES["dsb2018"])
