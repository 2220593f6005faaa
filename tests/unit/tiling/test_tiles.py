"""Tiles cover an image once, and fit in memory."""

import math
import re

import numpy as np
import pytest
import tifffile
import torch

from medseg_ext.errors import DataError
from medseg_ext.images.blocks import open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.resize import scaled_size
from medseg_ext.images.sides import Sides
from medseg_ext.images.sizes import LARGEST_WHOLE_PX
from medseg_ext.inferers.size_normalised import GRID_PX
from medseg_ext.objects.objects import Objects
from medseg_ext.tiling import large_images as large_segment
from medseg_ext.tiling.tiles import LARGEST_REGION_PX, plan_tiles, plan_tiles_of_image
from medseg_ext.transforms.decoders import DecodeObjectsd


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (100, 64), (257, 400)])
@pytest.mark.parametrize(("tile", "margin"), [(60, 20), (32, 0), (64, 33)])
def test_cores_cover_every_pixel_once_and_have_their_margin_as_far_as_the_image_goes(size, tile, margin):
    covered = np.zeros(size, dtype=int)
    whole = Box(0, 0, *size)
    for core, region in plan_tiles(size, tile_px=tile, margin_px=margin):
        covered[core.inside(whole)] += 1
        wanted = Box(core.top - margin, core.left - margin, core.bottom + margin, core.right + margin)
        assert whole.contains(region)
        assert region.contains(wanted.intersection(whole))
        assert all(start % GRID_PX == 0 for start in (core.top, core.left, region.top, region.left))
    assert (covered == 1).all()


def test_tiles_without_pixels_are_refused():
    with pytest.raises(ValueError, match="at least 1 pixel"):
        plan_tiles((10, 10), tile_px=0, margin_px=0)
    with pytest.raises(ValueError, match="no negative margin, got 5 and -1"):
        plan_tiles((10, 10), tile_px=5, margin_px=-1)
    for tile_px, margin_px in ((0, 0), (-300, 0), (-2000, 0), (512, -1)):
        with pytest.raises(DataError, match="--tile_size of at least 1 and a --tile_margin of at least 0"):
            plan_tiles_of_image((9000, 9000), scale=1.0, tile_px=tile_px, margin_px=margin_px)


SEEN_REDUCED = {"margin_px": 192}


def most_pixels_at_once(size, tiles, scale):
    seen_size = scaled_size(size, scale)
    return max(math.prod(tile.region.size) for tile in tiles) * math.prod(size) / math.prod(seen_size)


SIZES = [tuple(size) for size in np.random.default_rng(0).integers(5800, 30000, size=(60, 2)).tolist()]


@pytest.mark.parametrize("size", [(9000, 29000), (29027, 6067), (29790, 11081), *SIZES])
@pytest.mark.parametrize("scale", [1 / 32, 0.1, 0.3, 1, 2.3])
def test_tiles_fit_in_memory_or_the_remedy_makes_them_fit(size, scale):
    try:
        tiles = plan_tiles_of_image(size, scale=scale, tile_px=1024, **SEEN_REDUCED)
    except DataError as error:
        scale = float(re.search(r"with ([.\d]+) or more it would fit", str(error))[1])
        tiles = plan_tiles_of_image(size, scale=scale, tile_px=1024, **SEEN_REDUCED)
    at_once = most_pixels_at_once(size, tiles, scale)
    assert at_once <= LARGEST_WHOLE_PX * 1.001 or (len(tiles) == 1 and at_once <= LARGEST_REGION_PX)


def test_a_field_of_view_of_a_large_camera_is_one_tile():
    (tile,) = plan_tiles_of_image((6336, 9504), scale=512 / 9504, tile_px=1024, **SEEN_REDUCED)
    assert tile.core == tile.region == Box(0, 0, 341, 512)


def test_a_field_of_view_of_8192_pixels_is_the_largest_that_is_one_tile():
    (tile,) = plan_tiles_of_image((8192, 8192), scale=1 / 16, tile_px=1024, **SEEN_REDUCED)
    assert tile.region == Box(0, 0, 512, 512)
    with pytest.raises(DataError, match="or reduce the image first"):
        plan_tiles_of_image((8192, 8193), scale=1 / 16, tile_px=1024, **SEEN_REDUCED)


def test_tiles_are_as_large_as_asked_for_where_they_fit():
    tiles = plan_tiles_of_image((16384, 16384), scale=1.0, tile_px=1024, margin_px=64)
    assert len(tiles) == 16 * 16
    tiles = plan_tiles_of_image((900, 900), scale=1.0, tile_px=100, margin_px=8)
    assert tiles == plan_tiles((900, 900), tile_px=100, margin_px=8)
    assert tiles[0].core == Box(0, 0, 128, 128)


@pytest.mark.parametrize("size", [(9000, 9000), (8000, 8000)])
def test_a_margin_that_no_memory_holds_is_refused(size):
    with pytest.raises(DataError, match="give a --tile_margin of less than 3000"):
        plan_tiles_of_image(size, scale=1.0, tile_px=1024, margin_px=3000)


@pytest.mark.parametrize(("most_px", "factor"), [(30 * 41, 1), (1225, 1), (400, 2), (100, 4)])
def test_a_tile_is_decoded_at_less_only_where_it_is_too_large(monkeypatch, most_px, factor):
    monkeypatch.setattr(large_segment, "LARGEST_WHOLE_PX", most_px)
    sizes = []

    def decode(output, *, size, border):
        assert border == Sides()
        sizes.append(size)
        return Objects(torch.ones(1, *size, dtype=torch.int32), torch.ones(1, *size, dtype=torch.uint8), output)

    scores = torch.tensor([0.7])
    decoder = DecodeObjectsd("pred", image_key="image", decode=decode)
    objects = large_segment._decoded(decoder, scores, (30, 41), Sides())
    assert sizes == [(math.ceil(30 / factor), math.ceil(41 / factor))]
    assert objects.instances.shape == objects.classes.shape == (1, 30, 41)
    assert objects.scores is scores


@pytest.mark.parametrize("scale", [32 / 27, 32 / 42, 1 / 2, 1 / 3])
def test_values_beyond_white_are_white_at_any_scale(scale, tmp_path):
    values = np.random.default_rng(0).integers(0, 1000, (96, 128)).astype(np.uint16)
    seen = []
    for name, hottest in (("hot.tif", 65535), ("white.tif", 800)):
        values[::7, ::5] = hottest
        tifffile.imwrite(tmp_path / name, np.minimum(values, hottest))
        view = large_segment.View(black=100 / 65535, white=800 / 65535, diameter_px=20.0, scale=scale)
        with pixel_io():
            of_image = large_segment._Seen(open_block_image(tmp_path / name), view)
            seen.append(of_image.read(of_image.whole))
    torch.testing.assert_close(*seen)
