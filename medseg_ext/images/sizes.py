"""Say at which sizes images are worked on."""

from __future__ import annotations

LARGEST_WHOLE_PX = 2**25  # 33 megapixels: decoding takes about 100 bytes for each


def size_at_work(size: tuple[int, int], working_size: int | None) -> tuple[int, int]:
    """Give the size (H, W) at which a network sees an image; see `medseg_ext.transforms.ResizeToWorkingSized`."""
    if working_size is None:
        return size
    height, width = (max(1, round(side * working_size / max(size))) for side in size)
    return height, width
