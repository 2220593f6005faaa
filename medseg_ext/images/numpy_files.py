"""Read arrays that NumPy has saved."""

from __future__ import annotations

import io

import numpy as np

from medseg_ext.errors import DataError
from medseg_ext.images.sizes import MAX_PIXELS

NPY_START = b"\x93NUMPY"
NPY_SUFFIX = ".npy"


def decode_npy(data: bytes, where: str) -> np.ndarray:
    """Decode an NPY file of one picture; axes of length 1 are dropped, and channels go last.

    Args:
        data: content of the file.
        where: name of the file, for messages.
    Returns: an array of the file's own type, grey (H, W) or RGB (H, W, 3).
    Raises: DataError: broken, of Python objects, of another shape, or not of numbers; more than `MAX_PIXELS`.
    """
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except Exception as error:
        if b"'|O'" in data[:128]:
            raise DataError(
                f"{where} holds Python objects, which are not opened, as they can run any code: save its label map as"
                " PNG or TIFF (in Cellpose: File, Save masks as PNG; or cellpose.io.save_masks)"
            ) from error
        raise DataError(f"{where} is no NPY file, or is cut short ({error}): save it again") from error
    if array.dtype.kind not in "buif":
        raise DataError(f"{where} holds no numbers, but {array.dtype}: save numbers")
    shape = array.shape
    array = array.squeeze()
    if array.ndim == 3 and array.shape[0] == 3 and array.shape[2] not in (3, 4):
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 4:
        array = array[..., :3]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or not array.size:
        raise DataError(f"{where} is an array of the shape {shape}: save each picture as a file, (H, W) or (H, W, 3)")
    if array.shape[0] * array.shape[1] > MAX_PIXELS:
        raise DataError(f"{where} has {array.shape[0]} x {array.shape[1]} pixels: cut it into smaller images")
    return np.ascontiguousarray(array)
