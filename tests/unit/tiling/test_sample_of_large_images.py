"""The part of a large image that is compared with the training images."""

import numpy as np
import pytest

from medseg_ext.images.blocks import BlockImage
from medseg_ext.tiling.large_images import SAMPLE_PX, sample_of


class Held(BlockImage):
    """An image in memory."""

    def __init__(self, pixels):
        self.pixels, self.size = pixels, pixels.shape[:2]

    def read(self, box):
        return self.pixels[box.top : box.bottom, box.left : box.right]


def test_it_is_where_most_is_seen():
    pixels = np.zeros((1800, 2400, 3), dtype=np.float32)
    pixels[900:, 1300:] = np.random.default_rng(0).random((900, 1100, 3))
    sample = sample_of(Held(pixels))
    assert sample.shape == (SAMPLE_PX, SAMPLE_PX, 3)
    assert sample.std() > 0.25


@pytest.mark.parametrize("size", [(1, 5000), (512, 512), (513, 511), (40, 30)])
def test_it_lies_within_an_image_of_any_size(size):
    sample = sample_of(Held(np.zeros((*size, 3), dtype=np.float32)))
    assert sample.shape == (min(size[0], SAMPLE_PX), min(size[1], SAMPLE_PX), 3)
