"""Encode images of several channels."""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Sequence

import numpy as np
import tifffile
from numpy.typing import NDArray

from medseg_ext.images.channels import name_when_prepared


def encode_channels_tiff(pixels: NDArray[np.uint8], channel: Sequence[int | str]) -> bytes:
    """Encode channels as an OME-TIFF, a page each, compressed without loss; the same pixels give the same bytes.

    Args:
        pixels: uint8 (H, W, C).
        channel: as which they were read, see `medseg_ext.images.read_rgb`; by the same they are read from this file.
    """
    encoded = io.BytesIO()
    digest = hashlib.sha256(pixels.tobytes()).digest()
    metadata = {
        "axes": "CYX", "Channel": {"Name": [name_when_prepared(each) for each in channel]},
        "UUID": uuid.UUID(bytes=digest[:16]).urn,  # else another one each time
    }  # fmt: skip
    tifffile.imwrite(
        encoded, np.moveaxis(pixels, -1, 0), photometric="minisblack", compression="zlib", predictor=True, ome=True,
        metadata=metadata, software=False,
    )  # fmt: skip
    return encoded.getvalue()
