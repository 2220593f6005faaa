"""Tiles cover an image once, and see what a sliding window over the whole image sees."""

import numpy as np
import pytest
import torch
from monai.inferers import SlidingWindowInferer

from medseg_ext.inference.large.boxes import Box
from medseg_ext.inference.large.contrast import percentiles_of
from medseg_ext.inference.large.tiles import plan_tiles


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


@pytest.mark.parametrize("levels", [256, 65536])
def test_percentiles_are_those_of_numpy(levels):
    values = np.random.default_rng(0).gamma(2, 0.05, size=(50, 41)).clip(0, 1)
    values = np.rint(values * (levels - 1)) / (levels - 1)
    percentages = [0, 0.1, 33, 50, 99.9, 100]
    np.testing.assert_allclose(
        percentiles_of([values[:20], values[20:]], percentages), np.percentile(values, percentages), atol=1e-6
    )
