"""Put pictures into a page, so that it needs no other file."""

from __future__ import annotations

import base64
from pathlib import Path

MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


def picture_as_data(picture: Path) -> str:
    """Write a PNG or JPEG as a data URL."""
    return f"data:{MEDIA_TYPES[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode()}"
