"""Write drawn images in the raw layouts in which the real data sets are handed out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg_ext.synthetic.marrow import Smear

CYTOPLASM, NUCLEUS = 20, 40  # grey values of SegPC-2021 masks


def hex_id(*parts: object) -> str:
    """A name of 64 hexadecimal digits that depends on nothing but `parts`, as Kaggle's names look.

    >>> len(hex_id("image", 0, 1))
    64
    """
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()


def write_dsb2018_image(folder: Path, image_id: str, image: NDArray[np.uint8], labels: NDArray[np.int32]) -> None:
    """Write one image as Kaggle's `stage1_train` has it.

    Args:
        folder: `stage1_train`.
        image_id: name of the image.
        image: RGB, shape (H, W, 3); written with an opaque alpha channel.
        labels: label map of the nuclei, shape (H, W).
    """
    images, masks = folder / image_id / "images", folder / image_id / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    opaque = np.full((*labels.shape, 1), 255, dtype=np.uint8)
    Image.fromarray(np.concatenate([image, opaque], axis=2)).save(images / f"{image_id}.png")
    for label in np.unique(labels[labels > 0]):
        mask = np.where(labels == label, 255, 0).astype(np.uint8)
        Image.fromarray(mask).save(masks / f"{hex_id('mask', image_id, label)}.png")


def write_segpc2021_image(folder: Path, image_id: str, smear: Smear, *, three_channel_every: int = 7) -> None:
    """Write one image as the SegPC-2021 challenge has it.

    Args:
        folder: `train`.
        image_id: name of the image.
        smear: the image and its truth.
        three_channel_every: each so many masks, one is stored with three channels, as a few of the original are.
    """
    images, masks = folder / "x", folder / "y"
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(exist_ok=True)
    Image.fromarray(smear.image).save(images / f"{image_id}.bmp")
    for number, label in enumerate(np.unique(smear.cells[smear.cells > 0]), start=1):
        inside = smear.cells == label
        mask = np.where(inside, np.where(smear.nuclei, NUCLEUS, CYTOPLASM), 0).astype(np.uint8)
        if (int(image_id) + number) % three_channel_every == 0:
            mask = np.repeat(mask[..., None], 3, axis=2)
        Image.fromarray(mask).save(masks / f"{image_id}_{number}.bmp")
