"""Several channels of an image are read as they are, in the order in which they are asked for."""

import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.blocks import open_block_image
from medseg_ext.images.boxes import Box
from medseg_ext.images.channels import as_typed, choose_channels, read_channels
from medseg_ext.images.formats import read_header
from medseg_ext.images.read import read_rgb

RANDOM = np.random.default_rng(0)
FOUR = RANDOM.integers(0, 60000, (4, 40, 56)).astype(np.uint16)
NAMES = ["DAPI", "GFP", "Cy3", "Cy5"]


def write(path, kind):
    """Write the four channels in one of the ways that a TIFF, or another file, holds them."""
    last = np.moveaxis(FOUR, 0, -1)
    if kind == "contiguous":
        tifffile.imwrite(path, last, photometric="minisblack", planarconfig="contig")
    elif kind == "planar":
        tifffile.imwrite(path, FOUR, photometric="minisblack", planarconfig="separate")
    elif kind == "tiles":
        tifffile.imwrite(path, last, photometric="minisblack", planarconfig="contig", tile=(16, 16), compression="zlib")
    elif kind == "OME pages":
        tifffile.imwrite(
            path, FOUR, ome=True, photometric="minisblack", metadata={"axes": "CYX", "Channel": {"Name": NAMES}}
        )
    elif kind == "ImageJ pages":
        tifffile.imwrite(path, FOUR, imagej=True, metadata={"axes": "CYX"})
    elif kind == "colours and one more":
        tifffile.imwrite(path, last, photometric="rgb", extrasamples=["unspecified"])
    return path


@pytest.mark.parametrize("asked", [[0, 1, 2, 3], [3, 0], [2], [1, 2, 3]])
@pytest.mark.parametrize("kind", ["contiguous", "planar", "tiles", "OME pages", "ImageJ pages", "colours and one more"])
def test_they_are_read_whole_and_by_blocks(kind, asked, tmp_path):
    path = write(tmp_path / "four.tif", kind)
    expected = np.moveaxis(FOUR[asked], 0, -1) / np.float32(65535)
    np.testing.assert_allclose(read_rgb(path, channel=asked), expected, rtol=1e-6)
    assert read_header(path, channel=asked).size == (40, 56)
    assert read_header(path, channel=asked).left_out == []
    box = Box(5, 20, 33, 41)
    read = open_block_image(path, channel=asked).read(box)
    np.testing.assert_allclose(read, expected[5:33, 20:41], rtol=1e-6)


def test_names_are_taken_where_the_file_has_them(tmp_path):
    path = write(tmp_path / "four.ome.tif", "OME pages")
    read = read_rgb(path, channel=["Cy5", "dapi", 1])
    np.testing.assert_array_equal(read, np.moveaxis(FOUR[[3, 0, 1]], 0, -1) / np.float32(65535))


def test_a_png_has_the_channels_of_its_colours(tmp_path):
    values = RANDOM.integers(0, 256, (9, 7, 3)).astype(np.uint8)
    Image.fromarray(values).save(path := tmp_path / "a.png")
    np.testing.assert_array_equal(read_rgb(path, channel=[2, 0]), values[..., [2, 0]] / np.float32(255))
    Image.fromarray(values[..., 0]).save(path)
    np.testing.assert_array_equal(read_rgb(path, channel=[0]), values[..., :1] / np.float32(255))


@pytest.mark.parametrize(
    ("asked", "told"), [([0, 4], "no channel 4"), ([0, "DAPI"], "twice"), ([0, 0], "twice"), (["RFP"], "named 'RFP'")]
)
def test_what_there_is_not_and_what_comes_twice_is_refused(asked, told, tmp_path):
    path = write(tmp_path / "four.ome.tif", "OME pages")
    for way in (read_rgb, read_header, open_block_image):
        with pytest.raises(DataError, match=told):
            way(path, channel=asked)


def test_tiles_that_were_never_written_are_told_of_each_channel(tmp_path):
    tile = zlib.compress(RANDOM.integers(0, 256, (64, 64)).astype(np.uint8).tobytes())
    tiles = [tile] * 6 + [b""] * 2  # of the second channel two
    metadata = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP"]}}
    options = {"shape": (2, 128, 128), "dtype": np.uint8, "tile": (64, 64), "compression": "zlib"}
    tifffile.imwrite(tmp_path / "a.tif", iter(tiles), ome=True, metadata=metadata, photometric="minisblack", **options)
    for asked in ("GFP", ["DAPI", "GFP"]):
        ((text, _),) = read_header(tmp_path / "a.tif", channel=asked).left_out
        assert text.startswith("2 of 4 strips or tiles were never written")


@pytest.mark.parametrize(
    "channels",
    [
        ["488", 1], ["DAPI"], [0], ["far, red", "5' end"], ['"', "a"], ["[0]", "Cy5 [red]"], ["β-tubulin", "#2"],
        [" a", "1.0"],
    ],
)  # fmt: skip
def test_a_list_is_typed_and_read_again(channels):
    assert read_channels(as_typed(channels)) == channels


def test_a_name_that_looks_like_a_number_is_found_where_no_channel_has_that_number():
    assert choose_channels(["DAPI", "488"], 488, "a.tif").taken == (1,)
    assert choose_channels(["1", "0"], [1, 0], "a.tif").taken == (1, 0)
    assert choose_channels(["1", "0"], ["1", "0"], "a.tif").taken == (0, 1)
    with pytest.raises(DataError, match="has no channel 488: it has 2"):
        choose_channels(["488", "488"], 488, "a.tif")


def test_a_number_is_a_place_whatever_the_channels_are_called():
    assert choose_channels(["channel_1", "channel_2"], [1, 0], "a.tif").taken == (1, 0)


@pytest.mark.parametrize("word", ["", "[]", "DAPI,", "[0,0]", "a,a"])
def test_words_that_name_no_channels_are_refused(word):
    with pytest.raises(DataError, match="channel must be a number from 0"):
        read_channels(word)
