"""Write pixels to TIFF files, from which they are read as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from medseg_ext.errors import DataError

TILED_FROM_PX, TILE_PX = 2**20, 512  # from so many pixels on a part can be read without the rest
WRITABLE = "uif"  # kinds of types that images have


def write_image_tiff(
    path: Path, pixels: np.ndarray, *, pixel_size_um: tuple[float, float] | None = None, compressed: bool = False
) -> None:
    """Write an image as TIFF, in its own type; as OME-TIFF where it is known how large a pixel is.

    Args:
        path: the file; one that is there is overwritten.
        pixels: grey (H, W) or RGB (H, W, 3), integers or floats.
        pixel_size_um: (height, width) of a pixel, None where it is unknown.
        compressed: without loss, which takes longer.

    Raises:
        DataError: values of a kind that no image has, or another shape; names the file.
    """
    if pixels.dtype.kind not in WRITABLE or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
        raise DataError(
            f"{path} would hold values of the type {pixels.dtype} in the shape {pixels.shape}: give integers or floats,"
            " grey (H, W) or RGB (H, W, 3)"
        )
    if pixels.size == 0:
        raise DataError(f"{path} would have no pixel: its shape is {pixels.shape}")
    metadata: dict[str, Any] = {"axes": "YXS"[: pixels.ndim]}
    if pixel_size_um is not None:
        for axis, length in zip("YX", pixel_size_um, strict=True):
            metadata |= {f"PhysicalSize{axis}": length, f"PhysicalSize{axis}Unit": "µm"}
    tifffile.imwrite(
        path,
        np.ascontiguousarray(pixels),
        photometric="minisblack" if pixels.ndim == 2 else "rgb",
        ome=pixel_size_um is not None,
        metadata=metadata if pixel_size_um is not None else None,
        compression="zlib" if compressed else None,
        tile=(TILE_PX, TILE_PX) if pixels.shape[0] * pixels.shape[1] >= TILED_FROM_PX else None,
    )
