"""Objects that the border of a large image cuts off are left out, those that a tile cuts are not."""

import numpy as np
import pytest
import torch
from skimage.draw import disk

from medseg_ext.images.boxes import Box
from medseg_ext.objects.detections import decode_detections
from medseg_ext.objects.objects import Objects
from medseg_ext.tiling import large_images
from medseg_ext.tiling.pixel_store import PixelStore
from medseg_ext.tiling.stitching import Stitcher
from medseg_ext.tiling.tiles import plan_tiles_of_image
from medseg_ext.transforms.decoders import DecodeDetectionsd, DecodeObjectsd

SHAPE = (150, 210)


def discs() -> np.ndarray:
    labels = np.zeros(SHAPE, np.int32)
    for number, row in enumerate(range(0, 160, 22)):
        for column in range(0, 220, 22):
            labels[disk((row, column), 8, shape=SHAPE)] = 20 * number + column // 22 + 1
    labels[60:64, 30:190] = 999  # longer than any margin
    labels[:3, 15:190] = 1000  # likewise, along the border
    return labels


@pytest.mark.parametrize("tile_px", [32, 50, 64, 120])
@pytest.mark.parametrize("least_px", [0, 110, 150])
def test_tiles_leave_out_what_the_whole_image_does(tile_px, least_px, tmp_path):
    labels = discs()
    output = torch.from_numpy(np.stack([labels, labels == 0, labels > 0]).astype(np.float32))
    options = {"min_area_px": 4, "min_border_area_px": least_px}
    whole = decode_detections(output, **options).instances[0].numpy()
    decoder = DecodeDetectionsd(**options)
    with (
        PixelStore(tmp_path / "i.tif", SHAPE, np.uint32) as instances,
        PixelStore(tmp_path / "c.tif", SHAPE, np.uint8) as classes,
    ):
        stitcher = Stitcher(instances, classes)
        for tile in plan_tiles_of_image(SHAPE, scale=1.0, tile_px=tile_px, margin_px=20):
            region = tile.region
            objects = large_images._decoded(
                decoder, output[:, *region.inside(Box(0, 0, *SHAPE))], region.size, region.sides_on_border(SHAPE)
            )
            stitcher.add(objects, region=region, core=tile.core)
        found = stitcher.finish().final_ids[instances.read(Box(0, 0, *SHAPE))]
    assert ((found > 0) == (whole > 0)).all()
    pairs = np.unique(np.stack([found.ravel(), whole.ravel()]), axis=1)
    assert pairs.shape[1] == whole.max() + 1 == found.max() + 1


def test_a_tile_that_is_decoded_at_less_knows_its_sides(monkeypatch):
    monkeypatch.setattr(large_images, "LARGEST_WHOLE_PX", 100)
    borders = []

    def decode(output, *, size, border):
        borders.append(border)
        return Objects(torch.ones(1, *size, dtype=torch.int32), torch.ones(1, *size, dtype=torch.uint8), output)

    decoder = DecodeObjectsd("pred", image_key="image", decode=decode)
    border = Box(0, 5, 30, 46).sides_on_border((30, 90))
    large_images._decoded(decoder, torch.tensor([0.7]), (30, 41), border)
    assert borders == [border] == [(True, False, True, False)]
