"""Objects of tiles become those of the image: each once, whole, with one number."""

from collections import Counter

import numpy as np
import pytest
import torch
from skimage.measure import label
from skimage.segmentation import relabel_sequential

from medseg_ext.images.blocks import pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.objects.objects import Objects
from medseg_ext.tiling.pixel_store import PixelStore
from medseg_ext.tiling.stitching import Stitcher, _overlaps
from medseg_ext.tiling.tiles import plan_tiles


def objects_of(labels: np.ndarray, score: float = 0.5) -> Objects:
    labels = relabel_sequential(labels)[0].astype(np.int32)
    return Objects(
        torch.from_numpy(labels[None]),
        torch.from_numpy((labels[None] > 0).astype(np.uint8)),
        torch.full((int(labels.max()),), score),
    )


@pytest.fixture
def stores(tmp_path):
    with (
        pixel_io(),
        PixelStore(tmp_path / "a.tif", (100, 140), np.uint32) as instances,
        PixelStore(tmp_path / "b.tif", (100, 140), np.uint8) as classes,
    ):
        yield instances, classes


def stitch(stores, truth, *, tile_px, margin_px, seen=lambda part, region: part):
    """Stitch what tiles see of a true map; `seen` changes what one sees. Returns label map, classes, result."""
    stitcher = Stitcher(*stores)
    for core, region in plan_tiles(truth.shape, tile_px=tile_px, margin_px=margin_px):
        part = truth[region.top : region.bottom, region.left : region.right]
        # labels start anew in each tile, and pieces that the region's end leaves apart are objects of their own
        part = label(seen(part, region), connectivity=1, background=0)
        stitcher.add(objects_of(part), region=region, core=core)
    result = stitcher.finish()
    whole = Box(0, 0, *truth.shape)
    return result.final_ids[stores[0].read(whole)], stores[1].read(whole), result


def random_discs(count: int, radius: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    truth, rows, columns = np.zeros((100, 140), dtype=np.int32), *np.mgrid[:100, :140]
    for number in range(1, count + 1):
        row, column = rng.integers(0, 100), rng.integers(0, 140)
        disc = (rows - row) ** 2 + (columns - column) ** 2 <= radius**2
        near = (rows - row) ** 2 + (columns - column) ** 2 <= (radius + 2) ** 2
        if not truth[near].any():
            truth[disc] = number
    return relabel_sequential(truth)[0]


def assert_same_partition(one: np.ndarray, other: np.ndarray) -> None:
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    assert len(np.unique(pairs[0])) == len(np.unique(pairs[1])) == pairs.shape[1]


@pytest.mark.parametrize("tile_px", [17, 30, 50, 200])
def test_objects_shorter_than_the_margin_come_out_as_they_are(stores, tile_px):
    truth = random_discs(60, 5)
    found, classes, result = stitch(stores, truth, tile_px=tile_px, margin_px=12)
    assert_same_partition(found, truth)
    assert len(result.boxes) == truth.max()
    assert ((classes > 0) == (truth > 0)).all()


def test_boxes_and_scores_are_those_of_the_objects(stores):
    found, _, result = stitch(stores, random_discs(60, 5), tile_px=30, margin_px=12)
    for number, box in enumerate(result.boxes, start=1):
        rows, columns = np.nonzero(found == number)
        assert box == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    np.testing.assert_allclose(result.scores, 0.5)


def test_an_object_longer_than_the_margin_stays_one(stores):
    truth = np.zeros((100, 140), dtype=np.int32)
    truth[40:60, 5:135] = 1
    truth[5:95, 64:76] = 1  # a cross over many tiles
    found, _, result = stitch(stores, truth, tile_px=20, margin_px=8)
    assert_same_partition(found, truth)
    assert result.boxes == [Box(5, 5, 95, 135)]


def test_a_tile_that_sees_another_outline_does_not_double_the_object(stores):
    truth = np.zeros((100, 140), dtype=np.int32)
    truth[40:52, 86:106] = 1  # on the border of two tiles

    def seen(part, region):
        return np.roll(part, 2, axis=1) if region.left > 0 else part

    _, _, result = stitch(stores, truth, tile_px=70, margin_px=30, seen=seen)
    assert result.boxes == [Box(40, 86, 52, 106)]


def test_an_object_that_only_the_second_tile_sees_is_kept(stores):
    truth = np.zeros((100, 140), dtype=np.int32)
    truth[40:52, 86:106] = 1

    def seen(part, region):
        return part if region.left > 0 else np.zeros_like(part)

    _, _, result = stitch(stores, truth, tile_px=70, margin_px=30, seen=seen)
    assert result.boxes == [Box(40, 86, 52, 106)]


def test_touching_objects_stay_apart_on_a_border(stores):
    stitcher = Stitcher(*stores)
    truth = np.zeros((100, 140), dtype=np.int32)
    truth[40:52, 60:70], truth[40:52, 70:80] = 1, 2
    for core, region in plan_tiles(truth.shape, tile_px=70, margin_px=30):
        part = truth[region.top : region.bottom, region.left : region.right]
        stitcher.add(objects_of(part), region=region, core=core)
    assert sorted(stitcher.finish().boxes) == [Box(40, 60, 52, 70), Box(40, 70, 52, 80)]


WHOLE = Box(0, 0, 100, 140)


def add(stitcher, region, *objects, core=None, scores=None):
    """Let a tile see objects, each given as boxes of the image; its core is all of its region unless told."""
    labels = np.zeros(WHOLE.size, dtype=np.int32)
    for number, boxes in enumerate(objects, start=1):
        for box in boxes:
            labels[box.inside(WHOLE)] = number
    seen = torch.from_numpy(labels[region.inside(WHOLE)][None].copy())
    scores = torch.full((len(objects),), 0.5) if scores is None else torch.tensor(scores)
    stitcher.add(Objects(seen, (seen > 0).byte(), scores), region=region, core=core or region)


def test_each_object_keeps_its_own_score(stores):
    add(stitcher := Stitcher(*stores), WHOLE, [Box(0, 0, 5, 5)], [Box(0, 10, 5, 15)], scores=[0.25, 0.75])
    assert stitcher.finish().scores.tolist() == [0.25, 0.75]


def test_an_object_beyond_the_core_is_left_to_its_own_tile(stores):
    inside, across, beyond = Box(10, 10, 20, 20), Box(10, 60, 20, 80), Box(40, 75, 50, 85)
    add(stitcher := Stitcher(*stores), Box(0, 0, 100, 90), [inside], [across], [beyond], core=Box(0, 0, 100, 70))
    assert stitcher.finish().boxes == [inside, across]


@pytest.mark.parametrize(
    ("seen_again", "boxes"),
    [
        # The first tile saw 10 x 10 pixels at the upper left. Same objects share more than half of the smaller one.
        (Box(0, 4, 10, 14), [Box(0, 0, 10, 10)]),
        (Box(0, 5, 10, 15), [Box(0, 0, 10, 10), Box(0, 10, 10, 15)]),
        (Box(0, 6, 10, 16), [Box(0, 0, 10, 10), Box(0, 10, 10, 16)]),
        (Box(0, 0, 4, 4), [Box(0, 0, 10, 10)]),
        (Box(0, 0, 20, 20), [Box(0, 0, 10, 10)]),
        (Box(0, 4, 20, 24), [Box(0, 0, 10, 10)]),
    ],
)
def test_objects_are_the_same_that_share_more_than_half_of_the_smaller(stores, seen_again, boxes):
    stitcher = Stitcher(*stores)
    add(stitcher, WHOLE, [Box(0, 0, 10, 10)])
    add(stitcher, WHOLE, [seen_again])
    assert stitcher.finish().boxes == boxes


def test_what_several_objects_cover_for_the_most_part_is_none(stores):
    """Each of the two has 50 of the 110 pixels and half of its own: neither is the same, and 10 pixels are free."""
    stitcher = Stitcher(*stores)
    add(stitcher, WHOLE, [Box(0, 0, 10, 10)], [Box(0, 10, 10, 20)])
    add(stitcher, WHOLE, [Box(0, 5, 11, 15)])
    assert stitcher.finish().boxes == [Box(0, 0, 10, 10), Box(0, 10, 10, 20)]


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (Box(0, 40, 10, 60), Box(0, 40, 13, 60)),
        (Box(90, 40, 100, 60), Box(87, 40, 100, 60)),
        (Box(40, 0, 60, 10), Box(40, 0, 60, 13)),
        (Box(40, 130, 60, 140), Box(40, 127, 60, 140)),
    ],
)
def test_the_edge_of_the_image_cuts_no_object(stores, first, again):
    stitcher = Stitcher(*stores)
    add(stitcher, WHOLE, [first])
    add(stitcher, WHOLE, [again])
    assert stitcher.finish().boxes == [first]


@pytest.mark.parametrize(
    ("region", "start", "whole"),
    [
        (Box(0, 0, 70, 140), Box(60, 40, 70, 60), Box(60, 40, 80, 60)),
        (Box(50, 0, 100, 140), Box(50, 40, 60, 60), Box(40, 40, 60, 60)),
        (Box(0, 0, 100, 120), Box(40, 110, 60, 120), Box(40, 110, 60, 130)),
        (Box(0, 20, 100, 140), Box(40, 20, 60, 30), Box(40, 10, 60, 30)),
    ],
)
def test_an_object_that_a_region_has_cut_grows_in_the_next(stores, region, start, whole):
    stitcher = Stitcher(*stores)
    add(stitcher, region, [start])
    add(stitcher, WHOLE, [whole])
    assert stitcher.finish().boxes == [whole]


def test_an_object_goes_on_growing_after_a_second_cut(stores):
    stitcher = Stitcher(*stores)
    add(stitcher, Box(0, 0, 100, 70), [Box(10, 60, 20, 69)])  # not cut
    add(stitcher, Box(0, 65, 100, 120), [Box(10, 65, 20, 120)])  # cut on both sides
    add(stitcher, WHOLE, [Box(10, 62, 20, 130)])
    assert stitcher.finish().boxes == [Box(10, 60, 20, 130)]


def test_parts_that_grow_together_weigh_by_their_areas(stores):
    """Bars of 100 and 200 pixels, of scores 0.9 and 0.3; what joins them, of 1000 pixels, is given to the first."""
    stitcher = Stitcher(*stores)
    add(stitcher, Box(0, 0, 100, 70), [Box(10, 60, 20, 70)], [Box(30, 60, 50, 70)], scores=[0.9, 0.3])
    joined = [Box(10, 60, 20, 100), Box(30, 60, 50, 100), Box(10, 90, 50, 100)]
    add(stitcher, Box(0, 60, 100, 140), joined, scores=[0.5])
    result = stitcher.finish()
    assert result.boxes == [Box(10, 60, 50, 100)]
    assert result.scores.tolist() == [pytest.approx((0.9 * 1100 + 0.3 * 200) / 1300)]


def test_three_parts_become_one_whatever_joins_first(stores):
    stitcher = Stitcher(*stores)
    add(stitcher, Box(0, 0, 100, 70), *([Box(top, 60, top + 4, 70)] for top in (10, 20, 30)))
    add(stitcher, Box(18, 60, 100, 140), [Box(20, 60, 24, 84), Box(30, 60, 34, 84), Box(20, 80, 34, 84)])
    add(stitcher, Box(0, 60, 100, 140), [Box(10, 60, 14, 94), Box(30, 60, 34, 94), Box(10, 90, 34, 94)])
    assert stitcher.finish().boxes == [Box(10, 60, 34, 94)]


def test_an_image_without_objects_has_none(stores):
    found, classes, result = stitch(stores, np.zeros((100, 140), dtype=np.int32), tile_px=50, margin_px=10)
    assert (found.max(), classes.max(), len(result.boxes), len(result.scores)) == (0, 0, 0, 0)


def test_objects_of_another_size_than_their_region_are_refused(stores):
    with pytest.raises(ValueError, match="expected objects of size"):
        Stitcher(*stores).add(objects_of(np.ones((3, 4), int)), region=Box(0, 0, 4, 4), core=Box(0, 0, 4, 4))


@pytest.mark.parametrize("largest", [3, 2**32 - 1])
def test_shared_pixels_are_those_that_counting_one_by_one_gives(largest):
    rng = np.random.default_rng(0)
    labels = rng.choice(np.array([0, 1, 2, 2**24], np.int32), (40, 30))
    written = rng.choice(np.array([0, 1, largest], np.uint32), (40, 30))
    pairs = Counter(zip(labels.ravel().tolist(), written.ravel().tolist(), strict=True))
    counted = {pair: count for pair, count in pairs.items() if all(pair)}
    overlaps = _overlaps(labels, written)
    assert {(label, number): count for label, of_one in overlaps.items() for number, count in of_one.items()} == counted
    assert _overlaps(labels, np.zeros_like(written)) == {}
