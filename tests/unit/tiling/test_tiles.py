"""Tiles cover an image once, and see what a sliding window over the whole image sees."""

import math
import re

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from medseg_ext.errors import DataError
from medseg_ext.images.boxes import Box
from medseg_ext.images.resize import scaled_size
from medseg_ext.images.sizes import LARGEST_WHOLE_PX
from medseg_ext.objects.objects import Objects
from medseg_ext.tiling import large_images as large_segment
from medseg_ext.tiling.tiles import LARGEST_REGION_PX, plan_tiles, plan_tiles_of_image
from medseg_ext.transforms.decoders import DecodeObjectsd


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (100, 64), (257, 400)])
@pytest.mark.parametrize(("step", "overlap"), [((1, 1), (0, 0)), ((24, 48), (8, 16)), ((32, 32), (0, 0))])
def test_cores_cover_every_pixel_once_and_lie_in_their_regions(size, step, overlap):
    covered = np.zeros(size, dtype=int)
    whole = Box(0, 0, *size)
    for tile in plan_tiles(size, tile_px=60, margin_px=20, step_px=step, overlap_px=overlap):
        covered[tile.core.inside(whole)] += 1
        assert tile.region.contains(tile.core)
        assert whole.contains(tile.region)
        for is_inner, margin in (
            (tile.core.top > 0, tile.core.top - tile.region.top),
            (tile.core.left > 0, tile.core.left - tile.region.left),
            (tile.core.bottom < size[0] and tile.region.bottom < size[0], tile.region.bottom - tile.core.bottom),
            (tile.core.right < size[1] and tile.region.right < size[1], tile.region.right - tile.core.right),
        ):
            assert margin >= 20 or not is_inner
    assert (covered == 1).all()


@pytest.mark.parametrize("margin", [0, 8, 20, 31])
@pytest.mark.parametrize(("step", "overlap"), [(1, 0), (24, 8), (48, 16), (32, 0)])
def test_a_region_is_the_least_one_of_whole_windows_with_the_margin(margin, step, overlap):
    window_starts = range(0, 400, step)
    window_ends = [start + step + overlap for start in window_starts]
    tiles = plan_tiles((400, 1), tile_px=60, margin_px=margin, step_px=(step, 1), overlap_px=(overlap, 0))
    for core, region in tiles:
        assert region.top == max(start for start in window_starts if start <= max(core.top - margin, 0))
        assert region.bottom == min(400, *(end for end in window_ends if end >= min(core.bottom + margin, 400)))


def test_down_and_across_a_region_has_the_windows_of_that_side():
    """Windows of 32 x 64 that begin at every 24th row and every 48th column; the margin of 8 just reaches an end."""
    tiles = plan_tiles((400, 400), tile_px=60, margin_px=8, step_px=(24, 48), overlap_px=(8, 16))
    assert tiles[0].core == Box(0, 0, 72, 96)
    assert tiles[0].region == Box(0, 0, 80, 112)
    assert tiles[1].core == Box(0, 96, 72, 192)
    assert tiles[1].region == Box(0, 48, 80, 208)


def test_a_sliding_window_sees_in_a_region_what_it_sees_in_the_whole_image():
    torch.manual_seed(0)
    image = torch.rand(1, 1, 200, 330)
    window, overlap = (32, 40), 0.25
    inferer = SlidingWindowInferer(window, overlap=overlap, mode="gaussian", padding_mode="replicate")

    def centred(windows: torch.Tensor) -> torch.Tensor:  # depends on all pixels of a window
        return windows - windows.mean(dim=(2, 3), keepdim=True)

    whole = inferer(image, centred)
    step = tuple(int(side * (1 - overlap)) for side in window)
    shared = tuple(side - stride for side, stride in zip(window, step, strict=True))
    for core, region in plan_tiles((200, 330), tile_px=60, margin_px=24, step_px=step, overlap_px=shared):
        part = inferer(image[:, :, region.top : region.bottom, region.left : region.right], centred)
        rows, columns = core.inside(region)
        expected = whole[:, :, core.top : core.bottom, core.left : core.right]
        torch.testing.assert_close(part[:, :, rows, columns], expected)


def test_tiles_without_pixels_are_refused():
    with pytest.raises(ValueError, match="at least 1 pixel"):
        plan_tiles((10, 10), tile_px=0, margin_px=0)
    with pytest.raises(ValueError, match="no negative margin, got 5 and -1"):
        plan_tiles((10, 10), tile_px=5, margin_px=-1)
    for tile_px, margin_px in ((0, 0), (-300, 0), (-2000, 0), (512, -1)):
        with pytest.raises(DataError, match="--tile_size of at least 1 and a --tile_margin of at least 0"):
            plan_tiles_of_image((9000, 9000), scale=1.0, tile_px=tile_px, margin_px=margin_px)


SEEN_REDUCED = {"margin_px": 192, "step_px": (288, 384), "overlap_px": (96, 128)}


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
    windows = {"margin_px": 8, "step_px": (24, 48), "overlap_px": (8, 16)}
    tiles = plan_tiles_of_image((900, 900), scale=1.0, tile_px=100, **windows)
    assert tiles == plan_tiles((900, 900), tile_px=100, **windows)
    assert tiles[0].core == Box(0, 0, 120, 144)


@pytest.mark.parametrize("size", [(9000, 9000), (8000, 8000)])
def test_a_margin_that_no_memory_holds_is_refused(size):
    with pytest.raises(DataError, match="give a --tile_margin of less than 3000"):
        plan_tiles_of_image(size, scale=1.0, tile_px=1024, margin_px=3000)


@pytest.mark.parametrize(("most_px", "factor"), [(30 * 41, 1), (1225, 1), (400, 2), (100, 4)])
def test_a_tile_is_decoded_at_less_only_where_it_is_too_large(monkeypatch, most_px, factor):
    monkeypatch.setattr(large_segment, "LARGEST_WHOLE_PX", most_px)
    sizes = []

    def decode(output, *, size):
        sizes.append(size)
        return Objects(torch.ones(1, *size, dtype=torch.int32), torch.ones(1, *size, dtype=torch.uint8), output)

    scores = torch.tensor([0.7])
    decoder = DecodeObjectsd("pred", image_key="image", decode=decode)
    objects = large_segment._decoded(decoder, scores, (30, 41))
    assert sizes == [(math.ceil(30 / factor), math.ceil(41 / factor))]
    assert objects.instances.shape == objects.classes.shape == (1, 30, 41)
    assert objects.scores is scores
