"""Boxes of an image are those of the image read as a whole."""

import nibabel
import numpy as np
import pytest
import rasterio
import tifffile
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.blocks import BlockImage, open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.formats import read_header
from medseg_ext.images.read import read_rgb

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (70, 90, 3), dtype=np.uint8)
GREY16 = RNG.integers(0, 4096, (70, 90), dtype=np.uint16)


def write_tiff(name, pixels, **options):
    def write(folder):
        tifffile.imwrite(folder / name, pixels, **options)
        return folder / name

    return pytest.param(write, id=name)


def write_png(folder):
    Image.fromarray(RGB).save(folder / "a.png")
    return folder / "a.png"


def write_turned_jpeg(folder):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(RGB).save(folder / "a.jpg", exif=exif)
    return folder / "a.jpg"


def write_lzw_tiff(folder):
    Image.fromarray(RGB).save(folder / "lzw.tif", compression="tiff_lzw")
    return folder / "lzw.tif"


def write_four_bits(folder):
    options = {"driver": "GTiff", "height": 70, "width": 90, "count": 1, "dtype": "uint8", "NBITS": 4}
    with pixel_io(), rasterio.open(folder / "four_bits.tif", "w", **options) as file:
        file.write(RGB[..., 0] // 16, 1)
    return folder / "four_bits.tif"


FILES = [
    write_tiff("tiled.tif", RGB, tile=(32, 32), photometric="rgb"),
    write_tiff("strips.tif", RGB, rowsperstrip=8, photometric="rgb", compression="zlib"),
    write_tiff("planes.tif", np.moveaxis(RGB, -1, 0), planarconfig="separate", photometric="rgb"),
    write_tiff("grey16.tif", GREY16, bigtiff=True, tile=(16, 16)),
    write_tiff("white_is_zero.tif", RGB[..., 0], photometric="miniswhite"),
    write_tiff("rgba.tif", np.dstack([RGB, RGB[..., :1]]), photometric="rgb", extrasamples=["unassalpha"]),
    write_tiff("pages.tif", np.stack([GREY16, GREY16 // 2]), photometric="minisblack"),
    write_tiff("float.tif", GREY16.astype(np.float32), photometric="minisblack"),
    write_tiff("signed.tif", GREY16.astype(np.int16) - 100, photometric="minisblack"),
    write_tiff("turned.tif", RGB, photometric="rgb", extratags=[(274, "H", 1, 6, True)]),
    pytest.param(write_four_bits, id="four_bits.tif"),
    pytest.param(write_png, id="png"),
    pytest.param(write_turned_jpeg, id="turned.jpg"),
    pytest.param(write_lzw_tiff, id="lzw"),
]


@pytest.mark.parametrize("write", FILES)
def test_a_box_is_that_of_the_whole_image(write, tmp_path):
    path = write(tmp_path)
    whole = read_rgb(path)
    with pixel_io():
        image = open_block_image(path)
        assert image.size == whole.shape[:2]
        for box in (Box(0, 0, *image.size), Box(11, 30, 43, 31), Box(65, 20, 70, 60)):
            np.testing.assert_allclose(image.read(box), whole[box.top : box.bottom, box.left : box.right], atol=1e-6)


def test_shrinking_averages_whole_pixels(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", tile=(32, 32))
    with pixel_io():
        shrunk = open_block_image(path).read_shrunk(Box(0, 0, 70, 90), 4)
    whole = read_rgb(path)
    assert shrunk.shape == (18, 23, 3)
    np.testing.assert_allclose(shrunk[3, 5], whole[12:16, 20:24].mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(shrunk[17, 22], whole[68:, 88:].mean(axis=(0, 1)), atol=1e-6)


def test_shrinking_keeps_to_its_box(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", tile=(32, 32))
    with pixel_io():
        shrunk = open_block_image(path).read_shrunk(Box(7, 10, 16, 21), 4)
    whole = read_rgb(path)
    assert shrunk.shape == (3, 3, 3)
    np.testing.assert_allclose(shrunk[0, 0], whole[7:11, 10:14].mean(axis=(0, 1)), atol=1e-6)
    np.testing.assert_allclose(shrunk[2, 2], whole[15, 18:21].mean(axis=0), atol=1e-6)


class NumbersOfRows(BlockImage):
    """An image said to be very wide, of which a pixel is the number of its row."""

    def read(self, box: Box) -> np.ndarray:
        rows = np.arange(box.top, box.bottom, dtype=np.float32)
        return np.broadcast_to(rows[:, None, None], (len(rows), 8, 3))


def test_rows_that_are_read_in_several_bands_are_averaged_as_in_one():
    shrunk = NumbersOfRows().read_shrunk(Box(3, 0, 20, 2**22), 4)
    assert shrunk.shape == (5, 2, 3)
    assert shrunk[:, 0, 0].tolist() == [4.5, 8.5, 12.5, 16.5, 19]


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", tile=(32, 32))
    path.write_bytes(path.read_bytes()[:6000])
    with pixel_io(), pytest.raises(DataError, match=r"cut\.tif"):
        open_block_image(path).read(Box(0, 0, 70, 90))


def test_more_channels_than_four_are_refused_as_in_the_whole_image(tmp_path):
    tifffile.imwrite(tmp_path / "five.tif", np.dstack([RGB, RGB[..., :2]]), photometric="rgb", extrasamples=[0, 0])
    with pixel_io(), pytest.raises(DataError, match=r"five\.tif has 5 channels"):
        open_block_image(tmp_path / "five.tif")


def test_the_size_is_that_of_the_page(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY16[:20, :40])
        tiff.write(GREY16)
    assert read_header(tmp_path / "a.tif").size == (20, 40)
    assert read_header(tmp_path / "a.tif", page=1).size == (70, 90)
    with pixel_io():
        image = open_block_image(tmp_path / "a.tif", page=1)
        assert image.size == (70, 90)
        np.testing.assert_allclose(image.read(Box(0, 0, 70, 90)), read_rgb(tmp_path / "a.tif", page=1), atol=1e-6)


def test_nifti_tells_its_rows_and_columns(tmp_path):
    nibabel.save(nibabel.Nifti1Image(RGB[..., 0].T, np.eye(4)), tmp_path / "a.nii.gz")
    assert read_header(tmp_path / "a.nii.gz").size == (70, 90)
    assert read_rgb(tmp_path / "a.nii.gz").shape == (70, 90, 3)


def test_a_file_that_is_cut_short_while_it_is_read_is_an_error_and_not_the_end(tmp_path):
    """A memory map of it would end the process by SIGBUS."""
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, np.ones((2000, 2000), np.uint16))
    with pixel_io():
        image = open_block_image(path)
        assert image.read(Box(1900, 1900, 2000, 2000)).any()
        path.write_bytes(path.read_bytes()[:100_000])
        with pytest.raises(DataError, match="cut short"):
            image.read(Box(1900, 1900, 2000, 2000))
