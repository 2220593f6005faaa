"""Each tile of a large image goes through the network once, whatever regions are asked for."""

import pytest
import torch
from monai.inferers import SimpleInferer

from medseg_ext.inferers.tiled import TiledInferer
from medseg_ext.tiling.tile_outputs import read_output
from medseg_ext.tiling.tiles import plan_tiles


@pytest.mark.parametrize(("whole_image_px", "tile", "margin"), [(96**2, 50, 40), (200**2, 64, 10), (2**20, 100, 64)])
def test_regions_give_what_the_inferer_gives_for_the_whole_image_and_each_tile_is_computed_once(
    whole_image_px, tile, margin, tmp_path
):
    def centred(image: torch.Tensor) -> torch.Tensor:  # depends on all that the network sees at once
        return image - image.mean(dim=(2, 3), keepdim=True)

    image = torch.rand(1, 2, 700, 210)
    inferer = TiledInferer(SimpleInferer(), whole_image_px=whole_image_px, margin_px=32)
    whole = inferer(image, centred)[0]
    computed = []

    def compute(tile):
        computed.append(tile)
        region = tile.region
        seen = image[:, :, region.top : region.bottom, region.left : region.right]
        return inferer.output_of(tile, seen, centred)[0]

    tiles, kept = inferer.plan((700, 210)), 0
    for _, region in plan_tiles((700, 210), tile_px=tile, margin_px=margin):
        expected = whole[:, region.top : region.bottom, region.left : region.right]
        assert torch.equal(read_output(region, tiles, compute=compute, folder=tmp_path), expected)
        kept = max(kept, len(list(tmp_path.iterdir())))
    assert sorted(computed) == sorted(tiles)
    assert len(tiles) < 20 or kept < len(tiles)  # only bands are kept
    last = read_output(region, tiles, compute=compute, folder=tmp_path)
    for file in tmp_path.iterdir():  # as another process may
        file.unlink()
    assert torch.equal(read_output(region, tiles, compute=compute, folder=tmp_path), last)
