"""Decode DICOM files that hold one image, through ITK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medseg_ext.errors import DataError
from medseg_ext.images.nifti import is_nifti
from medseg_ext.images.raster import IMAGE_SUFFIXES, MAX_PIXELS

DICOM_SUFFIX = ".dcm"
_TAG_PIXEL_SPACING = "0028|0030"


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM: by its suffix; without one of an image, by its content.

    Names of DICOM files often have no suffix, or end as their identifier does, such as 1.2.840.
    """
    suffix = path.suffix.lower()
    if suffix == DICOM_SUFFIX:
        return True
    if suffix in IMAGE_SUFFIXES or is_nifti(path) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:  # whoever reads it reports that
        return False


def decode_dicom(path: str) -> np.ndarray:
    """Decode a DICOM file: values are rescaled as it says, palettes and YBR become RGB, white-is-zero is inverted.

    Args:
        path: a file of one frame.
    Returns: grey (H, W) or RGB (H, W, 3), of the type that the values need.
    Raises: DataError: broken, cut short, without an image, or of several frames; names the file.
    """
    import itk  # slow to import

    reader_of_file = _open(path)
    sizes = [reader_of_file.GetDimensions(axis) for axis in range(reader_of_file.GetNumberOfDimensions())]
    if any(size != 1 for size in sizes[2:]):
        raise DataError(f"{path} holds {sizes[2]} frames: save the one to be segmented alone, as DICOM or PNG")
    if sizes[0] * sizes[1] > MAX_PIXELS:
        raise DataError(f"{path} claims {sizes[0]} x {sizes[1]} pixels: cut it into smaller images")
    try:
        if reader_of_file.GetNumberOfComponents() == 3 and reader_of_file.GetComponentSize() == 2:
            # ITK's Python has no RGB of 16 bits
            reader = itk.ImageFileReader[itk.VectorImage[itk.US, 3]].New(FileName=path, ImageIO=reader_of_file)
            reader.Update()
            image = reader.GetOutput()
        else:
            image = itk.imread(path, imageio=reader_of_file)
        array = itk.array_from_image(image)
    except Exception as error:  # ITK's messages begin with lines on its own source
        raise DataError(f"{path} is a DICOM file that ITK cannot read: save it uncompressed, or as PNG") from error
    return array[0] if len(sizes) > 2 else array


def dicom_size(path: str) -> tuple[int, int]:
    """Read the size (H, W) of an image from its header. Raises: DataError: as `decode_dicom`."""
    image_io = _open(path)
    return image_io.GetDimensions(1), image_io.GetDimensions(0)


def dicom_pixel_size_um(path: str) -> tuple[float, float] | None:
    """Read the height and width of a pixel; None where the file has no Pixel Spacing.

    Raises: DataError: as `decode_dicom`.
    """
    image_io = _open(path)  # kept: the dictionary is of its memory
    tags = image_io.GetMetaDataDictionary()
    if not tags.HasKey(_TAG_PIXEL_SPACING):  # ITK's own spacing would be 1 then
        return None
    try:
        height_mm, width_mm = map(float, tags[_TAG_PIXEL_SPACING].split("\\"))
    except ValueError:
        return None
    return 1000 * height_mm, 1000 * width_mm


def _open(path: str) -> Any:
    import itk

    with Path(path).open("rb"):  # the system's own message where it cannot be opened
        image_io = itk.GDCMImageIO.New()
    try:
        readable = image_io.CanReadFile(path)
        if readable:
            image_io.SetFileName(path)
            image_io.ReadImageInformation()
    except RuntimeError:
        readable = False
    if not readable:
        raise DataError(f"{path} is not a DICOM image, or is cut short: get it again from its origin")
    return image_io
