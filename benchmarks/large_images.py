"""Images of all sizes, tile by tile."""

from __future__ import annotations

import os

import numpy as np
import tifffile
from PIL import Image

from benchmarks.aims import FlatMemory, GrowsWith
from benchmarks.contest import FILES
from benchmarks.pictures import images
from benchmarks.rows import OURS, Contender, Row
from benchmarks.worker import Work

# The largest of the aim, 16384, takes some minutes: BENCH_LARGEST=16384.
LARGEST_PX = int(os.environ.get("BENCH_LARGEST", 8192))
SIDES_PX = [side for side in (1024, 2048, 4096, 8192, 16384) if side <= LARGEST_PX]
FULL = "4096 px"  # as wide as two tiles with their margins


def _name(side_px: int) -> str:
    return OURS if side_px == SIDES_PX[0] else f"{side_px} px"


ROWS = [
    Row(
        "large",
        f"`segment` tile by tile, U-Net of DSB2018, images from {SIDES_PX[0]} to {LARGEST_PX} pixels squared",
        [
            Contender(_name(side), "benchmarks.large_images:segmented", {"side_px": side}, most_rounds=1)
            for side in SIDES_PX
        ],
        [GrowsWith(1.05), FlatMemory(FULL, 1.1)],
        seconds=1.2 * sum(side**2 for side in SIDES_PX) / 1e6,
        unit="Mpx",
        left_out=f"Every image is the same piece again and again. The first row is of {SIDES_PX[0]} px.",
    )
]


def segmented(side_px: int) -> Work:
    """Segment an image in tiles, however small it is."""
    from benchmarks.segmentation import segmentation

    path = FILES / f"large_{side_px}.tif"
    pieces = [np.asarray(Image.open(path).convert("RGB")) for path in images("dsb2018", megapixels=1)[0]]
    piece = _joined(pieces)
    times = -(-side_px // piece.shape[0]), -(-side_px // piece.shape[1])
    whole = np.tile(piece, (*times, 1))[:side_px, :side_px]
    tifffile.imwrite(path, whole, photometric="rgb", tile=(512, 512), compression="zlib")
    return Work(segmentation("dsb2018_unet", [path], "cpu", large_image_px=0), side_px**2 / 1e6)


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    """Set 256 x 256 pixels of each piece side by side."""
    return np.concatenate([piece[:256, :256] for piece in pieces], axis=1)
