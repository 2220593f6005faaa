"""Decode NIfTI files that hold one image of two dimensions."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg_ext.errors import DataError
from medseg_ext.images.raster import MAX_PIXELS
from medseg_ext.memory import check_bytes

if TYPE_CHECKING:
    from nibabel import Nifti1Image


NIFTI_SUFFIXES = (".nii", ".nii.gz")
UM_OF_NIFTI_UNIT = {"meter": 1e6, "mm": 1e3, "micron": 1.0}
SCALED_BYTES = 8  # of a value: float64
# What ITK writes when it knows no size; no microscope has it.
MADE_UP_SIZE_UM = 1000.0


def is_nifti(path: Path) -> bool:
    """Say whether a file is NIfTI, by its suffix."""
    return path.name.lower().endswith(NIFTI_SUFFIXES)


def decode_nifti(path: str) -> np.ndarray:
    """Decode a NIfTI file as it is: values and their type are kept, or scaled as the file says.

    The first axis of a NIfTI file runs along the columns (x), as ITK and viewers have it. The image is given as it is
    stored: directions of patients' axes have no meaning for a slide.

    Args:
        path: a .nii or .nii.gz file.
    Returns: the file's own type; grey (H, W), or (H, W, C) of pixels that are RGB, RGBA or vectors.
    Raises: DataError: broken, cut short, or a volume; names the file.
    """
    image = _open_plane(path)
    shape = image.shape
    try:
        array = np.asanyarray(image.dataobj)
        if path.lower().endswith(".gz"):
            _check_sum(path)
    except Exception as error:  # of gzip, zlib and the system, by the kind of damage
        raise DataError(
            f"{path} is cut short or damaged ({_in_a_line(error)}): get it again from its origin"
        ) from error
    if array.dtype.names:  # RGB and RGBA are a structure of channels
        array = np.stack([array[name] for name in array.dtype.names], axis=-1).reshape(*shape[:2], -1)
    else:
        array = array.reshape(*shape[:2], -1) if _is_vector(shape) else array.reshape(shape[:2])
    return np.swapaxes(array, 0, 1)


def _check_sum(path: str) -> None:
    """Read a gzipped file to its end, where its checksum is. Raises: OSError, EOFError, zlib.error: it is damaged."""
    with gzip.open(path) as file:
        while file.read(2**20):
            pass


def nifti_header(path: str) -> tuple[tuple[int, int], int]:
    """Read the size (H, W) and the number of channels. Raises: DataError: as `decode_nifti`, by the header."""
    image = _open_plane(path)
    shape, of_structure = image.shape, image.get_data_dtype().names
    return (shape[1], shape[0]), len(of_structure or ()) or (shape[4] if _is_vector(shape) else 1)


def nifti_pixel_size_um(path: str) -> tuple[float, float] | None:
    """Read the height and width of a pixel; None where the file gives no unit, or 1 mm, which is made up.

    Raises: DataError: as `decode_nifti`.
    """
    header: Any = _open(path).header
    factor = UM_OF_NIFTI_UNIT.get(header.get_xyzt_units()[0])
    if factor is None:
        return None
    width, height = (float(size) * factor for size in header.get_zooms()[:2])
    return None if width == height == MADE_UP_SIZE_UM else (height, width)


def _open_plane(path: str) -> Nifti1Image:
    image = _open(path)
    shape = image.shape
    if len(shape) < 2 or (any(size != 1 for size in shape[2:]) and not _is_vector(shape)):
        raise DataError(f"{path} is a volume or series of the shape {shape}: save the slice to be segmented alone, 2D")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise DataError(f"{path} claims {shape[0]} x {shape[1]} pixels: cut it into smaller images")
    values = shape[0] * shape[1] * (shape[4] if _is_vector(shape) else 1)
    check_bytes(values * (image.get_data_dtype().itemsize + SCALED_BYTES), path)
    return image


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _is_vector(shape: tuple[int, ...]) -> bool:
    return len(shape) == 5 and shape[2:4] == (1, 1)


def _open(path: str) -> Nifti1Image:
    import nibabel  # where it is needed: a training does without

    try:
        image = nibabel.load(Path(path))
    except FileNotFoundError:
        raise
    except Exception as error:  # a dozen kinds, by the kind of damage
        raise DataError(f"{path} is not a NIfTI image ({_in_a_line(error)}): get it again from its origin") from error
    if not isinstance(image, (nibabel.Nifti1Image, nibabel.Nifti2Image)):
        raise DataError(f"{path} is not a NIfTI image, but {type(image).__name__}: save it as .nii.gz")
    return image
