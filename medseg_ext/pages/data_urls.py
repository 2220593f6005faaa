"""Put pictures into a page, so that it needs no other file."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}
QUALITIES = (84, 74, 62, 50)  # of JPEG, tried in this order
SMALLEST_SIDE_PX = 96


def picture_as_data(picture: Path) -> str:
    """Write a PNG or JPEG as a data URL."""
    return _as_data(picture.read_bytes(), MEDIA_TYPES[picture.suffix])


def reduced(picture: NDArray[np.uint8], side_px: int) -> NDArray[np.uint8]:
    """Shrink a picture, uint8 RGB (H, W, 3), so that its longer side has at most a length; a smaller one stays."""
    image = Image.fromarray(picture)
    image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
    return np.asarray(image)


def reduced_as_data(picture: NDArray[np.uint8], *, side_px: int, max_bytes: int) -> str:
    """Write a picture as the data URL of a JPEG of limited size.

    Args:
        picture: uint8 RGB (H, W, 3).
        side_px: length of the longer side at most; a smaller picture is not enlarged.
        max_bytes: of the JPEG, which becomes a third longer in the URL. Where it would be more, first the quality is
            lowered and then the size, down to `SMALLEST_SIDE_PX`, which may be above the limit.
    """
    image = Image.fromarray(picture)
    while True:
        image.thumbnail((side_px, side_px), Image.Resampling.LANCZOS)
        for quality in QUALITIES:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, subsampling=0)  # colours at full size: outlines stay sharp
            if buffer.tell() <= max_bytes:
                return _as_data(buffer.getvalue(), "image/jpeg")
        if max(image.size) <= SMALLEST_SIDE_PX:
            return _as_data(buffer.getvalue(), "image/jpeg")
        side_px = max(SMALLEST_SIDE_PX, max(image.size) * 4 // 5)


def _as_data(content: bytes, media_type: str) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
