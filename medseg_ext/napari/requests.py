"""What napari asks of the process that segments."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Request:
    """An array to segment. It and its result are files, as pipes are slow.

    Attributes:
        pixels: file of the array, of NumPy's NPY.
        result: file to write, see `medseg_ext.objects.segmented_array.SegmentedArray`.
        name: of the image, for messages.
        bundle: the bundle's folder.
        weights: file of other weights than the bundle's own, or None.
        object_diameter_px: of a typical object; None estimates it.
        pixel_size_um: (height, width) of a pixel, or None.
    """

    pixels: str
    result: str
    name: str
    bundle: str
    weights: str | None = None
    object_diameter_px: float | None = None
    pixel_size_um: tuple[float, float] | None = None

    def to_line(self) -> str:
        """Write it as a line of JSON."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Request:
        """Read what `to_line` wrote."""
        told = json.loads(line)
        size = told.pop("pixel_size_um")
        return cls(**told, pixel_size_um=None if size is None else (size[0], size[1]))
