"""Encode images of several channels."""

from __future__ import annotations

import io

import numpy as np
import tifffile
from numpy.typing import NDArray


def encode_channels_tiff(pixels: NDArray[np.uint8]) -> bytes:
    """Encode channels as a TIFF, compressed without loss; the same pixels give the same bytes.

    Args:
        pixels: uint8 (H, W, C).
    """
    encoded = io.BytesIO()
    tifffile.imwrite(
        encoded, pixels if pixels.shape[2] > 1 else pixels[..., 0], photometric="minisblack",
        planarconfig="contig" if pixels.shape[2] > 1 else None,
        compression="zlib", predictor=True, metadata=None, software=False,
    )  # fmt: skip
    return encoded.getvalue()
