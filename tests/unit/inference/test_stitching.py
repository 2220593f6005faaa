"""Objects of tiles become those of the image: each once, whole, with one number."""

import numpy as np
import pytest
import torch
from skimage.measure import label
from skimage.segmentation import relabel_sequential

from medseg_ext.inference.large.boxes import Box
from medseg_ext.inference.large.pixel_store import PixelStore, pixel_io
from medseg_ext.inference.large.stitch import Stitcher
from medseg_ext.inference.large.tiles import plan_tiles
from medseg_ext.transforms import Objects


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
    truth[40:52, 60:80] = 1  # on the border of two tiles

    def seen(part, region):
        return np.roll(part, 2, axis=1) if region.left > 0 else part

    _, _, result = stitch(stores, truth, tile_px=70, margin_px=30, seen=seen)
    assert result.boxes == [Box(40, 60, 52, 80)]


def test_an_object_that_only_the_second_tile_sees_is_kept(stores):
    truth = np.zeros((100, 140), dtype=np.int32)
    truth[40:52, 60:80] = 1

    def seen(part, region):
        return part if region.left > 0 else np.zeros_like(part)

    _, _, result = stitch(stores, truth, tile_px=70, margin_px=30, seen=seen)
    assert result.boxes == [Box(40, 60, 52, 80)]


def test_touching_objects_stay_apart_on_a_border(stores):
    stitcher = Stitcher(*stores)
    truth = np.zeros((100, 140), dtype=np.int32)
    truth[40:52, 60:70], truth[40:52, 70:80] = 1, 2
    for core, region in plan_tiles(truth.shape, tile_px=70, margin_px=30):
        part = truth[region.top : region.bottom, region.left : region.right]
        stitcher.add(objects_of(part), region=region, core=core)
    assert sorted(stitcher.finish().boxes) == [Box(40, 60, 52, 70), Box(40, 70, 52, 80)]


def test_an_image_without_objects_has_none(stores):
    found, classes, result = stitch(stores, np.zeros((100, 140), dtype=np.int32), tile_px=50, margin_px=10)
    assert (found.max(), classes.max(), len(result.boxes), len(result.scores)) == (0, 0, 0, 0)


def test_objects_of_another_size_than_their_region_are_refused(stores):
    with pytest.raises(ValueError, match="expected objects of size"):
        Stitcher(*stores).add(objects_of(np.ones((3, 4), int)), region=Box(0, 0, 4, 4), core=Box(0, 0, 4, 4))
