"""A command from the shell, from its start to its end."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.aims import AtMost
from benchmarks.contest import FILES
from benchmarks.pictures import ROOT, images
from benchmarks.rows import OURS, Contender, Row
from benchmarks.worker import Work

ROWS = [
    Row(
        "shell",
        "`medseg segment` of one small image, from the shell",
        [
            Contender(OURS, "benchmarks.start:segment"),
            Contender("import torch", "benchmarks.start:import_torch"),
        ],
        [AtMost(5)],
        seconds=40,
        left_out="All of it: Python, imports, building and loading of the network, files, gallery.",
    )
]


def segment() -> Work:
    """Run the command; its time is that of its processes."""
    (path, *_), _ = images("dsb2018", megapixels=0.05)
    words = ["-m", "medseg_ext.cli", "segment", path, "--bundle", "dsb2018_unet", "--output", FILES / "shell"]
    return Work(lambda: _run(*words))


def import_torch() -> Work:
    """Only start Python with PyTorch."""
    return Work(lambda: _run("-c", "import torch"))


def _run(*words: object) -> None:
    subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True, stdout=sys.stderr)
