"""Encode label maps as files."""

from __future__ import annotations

import gzip
import io
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile

from medseg_ext.errors import DataError

LONGEST_NIFTI_SIDE = 2**15 - 1
LEVEL_STEP, LARGEST_LAST_LEVEL_PX = 4, 1024  # of pyramids: how much smaller each level is, and the side of the last one

PixelSize = tuple[float, float]  # height and width in micrometres


def encode_label_tiff(instances: np.ndarray, pixel_size_um: PixelSize | None = None) -> bytes:
    """Encode a label map as a compressed TIFF, of uint16 or, with labels above 65535, of uint32.

    Its resolution is in pixels a centimetre; it has none where the size of a pixel is unknown.
    """
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, _fitting(instances), **tiff_options(pixel_size_um))
    return buffer.getvalue()


def encode_label_ome_tiff(instances: np.ndarray, pixel_size_um: PixelSize | None = None, *, name: str = "") -> bytes:
    """Encode a label map as OME-TIFF, with the size of a pixel in its metadata, too; see `encode_label_tiff`."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, _fitting(instances), ome=True, **tiff_options(pixel_size_um, ome_name=name))
    return buffer.getvalue()


def tiff_options(pixel_size_um: PixelSize | None, *, ome_name: str | None = None) -> dict[str, Any]:
    """Give the options of `tifffile.imwrite` for a label map.

    Args:
        pixel_size_um: (height, width) of a pixel, None where it is unknown.
        ome_name: of an OME-TIFF, name of the image.
    """
    metadata: dict[str, Any] = {"axes": "YX"}
    if ome_name is not None:
        identity = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, ome_name)}"  # the same bytes every time
        metadata |= {"Name": ome_name, "UUID": identity, "Channel": {"Name": "labels"}}
        if pixel_size_um is not None:
            for axis, length in zip("YX", pixel_size_um, strict=True):
                metadata |= {f"PhysicalSize{axis}": length, f"PhysicalSize{axis}Unit": "µm"}
    return {
        "photometric": "minisblack",
        "compression": "zlib",
        "metadata": metadata,
        **tiff_resolution(pixel_size_um),
    }


def tiff_resolution(pixel_size_um: PixelSize | None) -> dict[str, Any]:
    """Give the options of `tifffile.imwrite` for the size of a pixel; none where it is unknown."""
    if pixel_size_um is None:
        return {}
    height_um, width_um = pixel_size_um
    return {"resolution": (1e4 / width_um, 1e4 / height_um), "resolutionunit": "CENTIMETER"}


def encode_label_nifti(instances: np.ndarray, pixel_size_um: PixelSize | None = None) -> bytes:
    """Encode a label map as .nii.gz, of uint16 or, with labels above 65535, of uint32.

    Columns run along the first axis and rows along the second, as ITK has it; their directions are ITK's, too. The
    zooms are in mm; they have no unit where the size of a pixel is unknown.

    Raises:
        DataError: a side is longer than `LONGEST_NIFTI_SIDE`.
    """
    import nibabel  # where it is needed: most write TIFF

    refuse_too_long_for_nifti(instances.shape)
    height_mm, width_mm = (side / 1000 for side in pixel_size_um) if pixel_size_um is not None else (1.0, 1.0)
    affine = np.diag([-width_mm, -height_mm, 1.0, 1.0])  # x and y of ITK run against those of NIfTI
    image = nibabel.Nifti1Image(_fitting(instances).T, affine)
    if pixel_size_um is not None:
        image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), mtime=0)  # the same bytes every time


def refuse_too_long_for_nifti(size: tuple[int, ...]) -> None:
    """Raise DataError for a label map of a size (H, W) that NIfTI does not have."""
    if max(size) > LONGEST_NIFTI_SIDE:
        raise DataError(
            f"its label map of {size[0]} x {size[1]} pixels has a side of more than {LONGEST_NIFTI_SIDE}, the most "
            "that NIfTI has: use --output_format tiff"
        )


ENCODERS: dict[str, Callable[[np.ndarray, PixelSize | None], bytes]] = {
    "tiff": encode_label_tiff,
    "nifti": encode_label_nifti,
}


def label_dtype(highest: int) -> type[np.unsignedinteger]:
    """Give the type that holds labels up to a highest one."""
    return np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32


def level_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Give the sizes (H, W) of the levels of a pyramid, the full one first.

    >>> level_sizes((3000, 2001))
    [(3000, 2001), (750, 501)]
    """
    sizes = [size]
    while max(sizes[-1]) > LARGEST_LAST_LEVEL_PX:
        sizes.append((-(-sizes[-1][0] // LEVEL_STEP), -(-sizes[-1][1] // LEVEL_STEP)))
    return sizes


def _fitting(instances: np.ndarray) -> np.ndarray:
    return instances.astype(label_dtype(int(instances.max())))
