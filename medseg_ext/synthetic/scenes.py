"""Say which pictures a sample holds, in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import relabel_sequential

from medseg_ext.synthetic import fluorescence, tissue
from medseg_ext.synthetic.fluorescence import draw_fluorescence
from medseg_ext.synthetic.marrow import Smear, draw_smear
from medseg_ext.synthetic.tissue import draw_tissue

SMEAR_SHAPE = (384, 512)
MIN_AREA_PX = 12  # what a cut through a mosaic leaves of a nucleus is dropped below this


@dataclass(frozen=True)
class NucleusImage:
    """One image of the DSB2018 sample.

    Attributes:
        image: RGB, uint8, shape (H, W, 3).
        labels: int32 label map of the nuclei, shape (H, W).
        group: images cut from one mosaic share it.
        kind: letter of the kind of microscopy.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    group: int
    kind: str


@dataclass(frozen=True)
class _Scene:
    """A mosaic: `tiles` images of `shape` side by side, in a row."""

    style: str
    kind: str
    shape: tuple[int, int]
    tiles: int = 1


_SCENES = (
    _Scene("large", "f", (360, 360)),
    _Scene("violet", "b", (256, 320), tiles=2),
    _Scene("monolayer", "a", (256, 256), tiles=2),
    _Scene("lilac", "c", (256, 320)),
    _Scene("clumped", "f", (256, 256)),
    _Scene("pink", "c", (256, 320)),
    _Scene("sparse", "f", (256, 256)),
    _Scene("large", "f", (256, 256), tiles=2),
    _Scene("layered", "f", (256, 256)),
    _Scene("murky", "a", (256, 320)),
)


def nucleus_images(seed: int) -> Iterator[NucleusImage]:
    """Images of nuclei without end; the first N are the same whatever N is."""
    for number in count():
        scene = _SCENES[number % len(_SCENES)]
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, number)))
        height, width = scene.shape
        mosaic = (height, width * scene.tiles)
        if scene.style in fluorescence.STYLES:
            image, labels = draw_fluorescence(rng, mosaic, fluorescence.STYLES[scene.style])
        else:
            image, labels = draw_tissue(rng, mosaic, tissue.STYLES[scene.style])
        for left in range(0, mosaic[1], width):
            tile = labels[:, left : left + width]
            areas = np.bincount(tile.ravel())
            tile, _, _ = relabel_sequential(np.where(areas[tile] < MIN_AREA_PX, 0, tile))
            yield NucleusImage(image[:, left : left + width], tile.astype(np.int32), number, scene.kind)


def smears(seed: int) -> Iterator[Smear]:
    """Bone marrow smears without end; the first N are the same whatever N is."""
    for number in count():
        yield draw_smear(np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1, number))), SMEAR_SHAPE)
