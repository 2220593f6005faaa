"""A network sees an image as a whole, or tiles with margins of one that is too large."""

import math

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer

from medseg_ext.errors import DataError
from medseg_ext.images.boxes import Box
from medseg_ext.inferers.tiled import TiledInferer

SIZES = [(1, 1), (1, 700), (33, 31), (256, 256), (257, 255), (40, 900), (600, 64), (401, 503)]


def tiled(whole_image_px: int, **options: object) -> TiledInferer:
    return TiledInferer(SimpleInferer(), whole_image_px=whole_image_px, **options)


class Seeing(torch.nn.Module):
    """Gives the maximum of each pixel's neighbourhood, and remembers the sizes of what it saw."""

    def __init__(self, reach: int = 0):
        super().__init__()
        self.sizes: list[tuple[int, int]] = []
        self.reach = reach

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.sizes.append(tuple(image.shape[2:]))
        for down, across in ((self.reach, 0), (0, self.reach)):
            image = torch.nn.functional.max_pool2d(
                image, (2 * down + 1, 2 * across + 1), stride=1, padding=(down, across)
            )
        return image


@pytest.mark.parametrize("size", SIZES)
def test_an_image_that_fits_goes_through_once_filled_up_to_what_the_network_halves(size):
    network, image = Seeing(), torch.rand(2, 3, *size)
    assert torch.equal(tiled(2**21, margin_px=32)(image, network), image)
    assert network.sizes == [tuple(math.ceil(side / 32) * 32 for side in size)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("whole_image_px", "margin"), [(128**2, 32), (200**2, 64), (2**16, 0)])
def test_tiles_give_what_the_whole_image_gives_where_their_margin_is_all_that_a_pixel_sees(
    size, whole_image_px, margin
):
    image = torch.rand(1, 3, *size)
    whole = tiled(2**30, margin_px=0)(image, Seeing(margin))
    network = Seeing(margin)
    torch.testing.assert_close(tiled(whole_image_px, margin_px=margin)(image, network), whole)
    assert len(set(network.sizes)) == 1  # an engine prepares itself for each new size
    assert math.prod(network.sizes[0]) <= whole_image_px
    assert all(side % 32 == 0 for side in network.sizes[0])


@pytest.mark.parametrize("size", [*SIZES, (4000, 96), (5000, 7000)])
@pytest.mark.parametrize("tile_size", [None, (192, 256)])
def test_cores_cover_every_pixel_once_and_regions_begin_where_the_network_halves_the_whole_image(size, tile_size):
    covered, whole = np.zeros(size, dtype=np.uint8), Box(0, 0, *size)
    for core, region in tiled(2**17, margin_px=64, tile_size=tile_size).plan(size):
        covered[core.inside(whole)] += 1
        assert region.top % 32 == region.left % 32 == 0
        wanted = Box(core.top - 64, core.left - 64, core.bottom + 64, core.right + 64)
        assert region.contains(wanted.intersection(whole))
        assert tile_size is None or region.size == tile_size
    assert (covered == 1).all()


def test_tiles_make_little_more_work_than_the_image_has():
    inferer = tiled(1024**2, margin_px=96)
    for size in ((1100, 1100), (2000, 3000), (300, 9000), (7000, 7000)):
        seen = sum(math.prod(region.size) for _, region in inferer.plan(size))
        assert seen < 1.6 * math.prod(size)


def test_an_engine_gets_only_the_one_size_that_it_is_made_for():
    for size in ((20, 300), (192, 256), (700, 130)):
        network, image = Seeing(), torch.rand(1, 3, *size)
        assert torch.equal(tiled(1, margin_px=32, tile_size=(192, 256))(image, network), image)
        assert set(network.sizes) == {(192, 256)}


def test_the_output_is_float32_whatever_the_network_computes_in():
    for size in ((64, 64), (300, 300)):
        output = tiled(200**2, margin_px=32)(torch.rand(1, 3, *size), lambda image: image.bfloat16())
        assert output.dtype == torch.float32


def test_what_leaves_no_tile_is_refused():
    with pytest.raises(DataError, match=r"--whole_image_px 90000 leaves nothing .* give at least 123904"):
        tiled(90000, margin_px=160)
    with pytest.raises(ValueError, match="multiple of 32"):
        tiled(2**20, margin_px=50)
    for tile_size in ((100, 256), (128, 64)):
        with pytest.raises(ValueError, match="multiples of 32, at least 96"):
            tiled(2**20, margin_px=32, tile_size=tile_size)
