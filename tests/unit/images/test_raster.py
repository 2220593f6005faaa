import io
import re
import struct
import warnings
import zlib
from contextlib import suppress
from itertools import product

import numpy as np
import pytest
import tifffile
from monai.transforms import ScaleIntensityRangePercentiles
from PIL import Image, ImageOps
from tifffile import TiffFile

from medseg_ext.errors import DataError
from medseg_ext.images.class_masks import read_class_map
from medseg_ext.images.eight_bit import CONTRAST_PERCENTILES, read_rgb_8_bit
from medseg_ext.images.png import encode_png
from medseg_ext.images.raster import decode_image
from medseg_ext.images.tiff import TiffImage

DSB2018 = {0: 0, 255: 1}
SEGPC2021 = {0: 0, 20: 1, 40: 2}
CELL = np.array([[0, 20, 40], [0, 20, 20]], np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def from_array(array: np.ndarray, kind: str = "PNG", **options) -> bytes:
    return encode(Image.fromarray(array), kind, **options)


def tiff(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(np.iinfo(dtype).max, size=shape, dtype=dtype)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
def test_masks_keep_rows_and_columns_in_every_format(kind, channels):
    mask = CELL if channels == 1 else np.repeat(CELL[..., None], channels, axis=2)
    class_map = read_class_map(from_array(mask, kind), "m", SEGPC2021)
    assert class_map.dtype == np.uint8
    assert class_map.tolist() == [[0, 1, 2], [0, 1, 1]]


@pytest.mark.parametrize("alpha", [0, 255])
def test_alpha_channels_of_masks_do_not_matter(alpha):
    grey = Image.fromarray((CELL > 0).astype(np.uint8) * 255)
    for mode in ("LA", "RGBA"):
        mask = grey.convert(mode)
        mask.putalpha(alpha)
        assert read_class_map(encode(mask), "m", DSB2018).tolist() == [[0, 1, 1], [0, 1, 1]]


def test_one_bit_and_palette_masks_are_read_by_their_shade():
    grey = Image.fromarray((CELL > 0).astype(np.uint8) * 255)
    for mask in (grey.convert("1"), grey.convert("P")):
        assert read_class_map(encode(mask), "m", DSB2018).tolist() == [[0, 1, 1], [0, 1, 1]]


@pytest.mark.parametrize("value", [1, 19, 128, 254])
def test_unknown_mask_values_are_refused_by_value(value):
    with pytest.raises(DataError, match=rf"mask.png holds the mask values \[{value}\].*0, 255"):
        read_class_map(from_array(np.array([[0, value], [255, 0]], np.uint8)), "mask.png", DSB2018)


def test_masks_in_colour_are_refused():
    mask = np.zeros((4, 5, 3), np.uint8)
    mask[1, 1, 2] = 255
    with pytest.raises(DataError, match=r"mask.png is a mask in colour"):
        read_class_map(from_array(mask), "mask.png", DSB2018)


def test_masks_with_16_bits_are_refused():
    with pytest.raises(DataError, match=r"mask.png .* more than 8 bits"):
        read_class_map(from_array(np.full((4, 5), 255, np.uint16)), "mask.png", DSB2018)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_images_of_every_mode_become_rgb(mode):
    rgb = read_rgb_8_bit(encode(Image.fromarray(CELL).convert(mode)), "i")
    assert (rgb.shape, rgb.dtype) == ((2, 3, 3), np.uint8)


def test_transparent_pixels_keep_their_colour():
    image = np.zeros((2, 3, 4), np.uint8)
    image[0, 1] = (10, 20, 30, 0)
    assert read_rgb_8_bit(from_array(image), "i")[0, 1].tolist() == [10, 20, 30]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.uint32, np.float32])
def test_deep_images_are_stretched_as_the_bundles_stretch_contrast_and_rounded_to_the_nearest_shade(dtype):
    image = np.random.default_rng(0).integers(100, 4096, (90, 70)).astype(dtype)
    image[3, 5] = 30000  # saturated
    stretched = ScaleIntensityRangePercentiles(*CONTRAST_PERCENTILES, 0, 1, clip=True)(image.astype(np.float64))
    prepared = read_rgb_8_bit(tiff(image, photometric="minisblack"), "i")[..., 1]
    np.testing.assert_allclose(prepared, 255 * stretched, atol=0.51)
    assert len(np.unique(prepared)) == 256


def test_an_image_of_few_bright_pixels_keeps_them():
    image = np.full((100, 100), 90, np.uint16)
    image[:2, :2] = 4000
    prepared = read_rgb_8_bit(from_array(image), "i")
    assert (prepared[:2, :2].min(), prepared[2:].max()) == (255, 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_an_image_of_12_bits_in_16_keeps_its_levels(kind):
    image = np.arange(100, 4096, dtype=np.uint16).reshape(54, 74)
    grey = read_rgb_8_bit(from_array(image, kind), "i")[..., 0]
    assert len(np.unique(grey)) == 256
    assert (np.diff(grey.ravel().astype(int)) >= 0).all()


def test_colours_of_16_bits_are_scaled_together():
    image = np.array([[[0, 1000, 2000], [4000, 4000, 0]]], np.uint16)
    assert read_rgb_8_bit(tiff(image, photometric="rgb"), "i").tolist() == [[[0, 64, 128], [255, 255, 0]]]


def test_an_even_image_of_16_bits_keeps_its_shade():
    assert read_rgb_8_bit(from_array(np.full((2, 3), 32896, np.uint16)), "i")[..., 0].tolist() == [[128] * 3] * 2


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_decoding_keeps_values_and_type(compression, dtype):
    image = noise(20, 30, dtype=np.uint16).astype(dtype)
    decoded = decode_image(from_array(image, "TIFF", compression=compression), "i")
    assert decoded.dtype == dtype
    assert np.array_equal(decoded, image)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("planarconfig", ["contig", "separate"])
def test_colour_planes_and_byte_orders_of_tiff_do_not_matter(planarconfig, byteorder):
    image = noise(20, 30, 4, dtype=np.uint16)
    planes = np.moveaxis(image, 2, 0) if planarconfig == "separate" else image
    data = tiff(planes, photometric="rgb", planarconfig=planarconfig, byteorder=byteorder, extrasamples=["unassalpha"])
    assert np.array_equal(decode_image(data, "i"), image[..., :3])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16])
def test_white_is_zero_is_inverted(dtype):
    image = np.array([[0, 1, 1]], bool) if dtype is bool else np.array([[0, 7, np.iinfo(dtype).max]], dtype)
    white = 255 if dtype is bool else np.iinfo(dtype).max
    expected = [[255, 0, 0]] if dtype is bool else [[white, white - 7, 0]]
    assert decode_image(tiff(image, photometric="miniswhite"), "i").tolist() == expected


def test_palettes_are_looked_up_in_png_and_tiff():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60])
    for kind in ("PNG", "TIFF"):
        assert decode_image(encode(image, kind), "i").tolist() == [[[10, 20, 30], [40, 50, 60]]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_every_orientation_is_set_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = from_array(noise(8, 24, 3), kind, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(decode_image(data, "i"), np.asarray(upright))


def test_images_beyond_pillow_s_limit_are_read_and_the_limit_stays(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    data = from_array(np.full((50, 60), 255, np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_rgb_8_bit(data, "i").shape == (50, 60, 3)
        assert read_class_map(data, "m", DSB2018).all()
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_header_that_claims_more_than_memory_holds_is_refused():
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    data = from_array(CELL)
    data = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    with pytest.raises(DataError, match=r"image.png claims 100000 x 100000 pixels"):
        read_rgb_8_bit(data, "image.png")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG", "TIFF"])
def test_images_cut_short_are_refused(kind):
    data = from_array(noise(40, 50, 3), kind)
    for length in (0, 3, len(data) // 4, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(DataError, match=r"image.x is not an image, or is cut short"):
            read_rgb_8_bit(data[:length], "image.x")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of the part that is missing
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_cut_short_is_refused_or_whole(compression):
    data = from_array(noise(40, 50, 3), "TIFF", compression=compression)
    whole = read_rgb_8_bit(data, "i")
    for length in range(8, len(data), 301):
        try:
            assert np.array_equal(read_rgb_8_bit(data[:length], "i"), whole)
        except DataError:
            continue


def stack_of(how: str) -> bytes:
    planes, buffer = noise(5, 32, 40), io.BytesIO()
    with tifffile.TiffWriter(buffer, imagej=how.startswith("ImageJ"), ome=how == "OME") as file:
        if how == "pages":
            for plane in planes:
                file.write(plane, metadata=None, contiguous=False)
        else:
            compression = "zlib" if how.endswith("compressed") else None
            file.write(planes, photometric="minisblack", compression=compression)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("how", "rest"),
    [*product(("ImageJ", "ImageJ, compressed", "pages"), ("gone", "zeros")), ("OME", "gone")],
)
def test_a_stack_cut_short_is_refused_or_has_all_its_pages(how, rest):
    data = stack_of(how)
    whole = TiffImage(data, "x.tif").left_out
    assert re.search("of 5 (pages|channels)", whole[0].text)
    for length in range(len(data) // 3, len(data), 97):
        cut = data[:length] + (b"" if rest == "gone" else bytes(len(data) - length))
        with suppress(DataError):
            assert TiffImage(cut, "x.tif").left_out == whole


@pytest.mark.parametrize("how", ["ImageJ", "ImageJ, compressed", "pages", "OME"])
def test_a_stack_of_which_half_is_gone_is_refused_by_name(how):
    data = stack_of(how)
    with pytest.raises(DataError, match=r"^x\.tif is not an image, or is cut short \(.*missing\): get it again"):
        TiffImage(data[: len(data) // 2], "x.tif")


def test_a_page_that_was_saved_with_the_description_of_its_stack_is_whole():
    description = TiffFile(io.BytesIO(stack_of("ImageJ"))).pages[0].description
    assert decode_image(tiff(noise(32, 40), description=description, metadata=None), "x.tif").shape == (32, 40)


@pytest.mark.parametrize(
    "compression", ["jpeg", "jpeg2000", "webp", "jpegxr", "lzw", "zlib", "packbits", "lerc", "png"]
)
@pytest.mark.parametrize("tiled", [False, True])
def test_strips_and_tiles_whose_rest_was_never_written_are_refused(compression, tiled):
    shape = {"tile": (64, 64)} if tiled else {"rowsperstrip": 64}
    data = tiff(noise(128, 128, 3), compression=compression, photometric="rgb", metadata=None, **shape)
    with TiffFile(io.BytesIO(data)) as file:
        places = [*zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True)]
    for place, size in places:
        for written in range(0, size - 64, size // 5):
            end = place + written
            damaged = data[:end] + bytes(size - written) + data[place + size :]
            with pytest.raises(DataError, match=r"^x\.tif is damaged"):
                decode_image(damaged, "x.tif")


@pytest.mark.parametrize("n_empty", [2, 4])
def test_tiles_that_were_never_written_are_told_and_an_image_without_any_is_refused(n_empty):
    buffer = io.BytesIO()
    tiles = [b"" if number < n_empty else zlib.compress(noise(64, 64).tobytes()) for number in range(4)]
    tifffile.imwrite(buffer, iter(tiles), shape=(128, 128), dtype=np.uint8, tile=(64, 64), compression="zlib")
    if n_empty == 4:
        with pytest.raises(DataError, match=r"x\.tif holds no pixels"):
            TiffImage(buffer.getvalue(), "x.tif")
    else:
        ((text, _),) = TiffImage(buffer.getvalue(), "x.tif").left_out
        assert text.startswith("2 of 4 strips or tiles were never written")


def test_an_image_of_many_channels_is_refused_by_name():
    with pytest.raises(DataError, match=r"stack.tif has 5 channels"):
        read_rgb_8_bit(tiff(noise(9, 8, 5), photometric="minisblack", planarconfig="contig"), "stack.tif")


def test_a_png_cut_at_any_byte_is_refused_or_whole():
    pixels = np.random.default_rng(0).integers(256, size=(8, 9, 3), dtype=np.uint8)
    data = from_array(pixels)
    for length in range(len(data)):
        try:
            assert np.array_equal(read_rgb_8_bit(data[:length], "i"), pixels)
        except DataError:
            continue


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_is_lossless_and_the_same_every_time(dtype):
    pixels = np.random.default_rng(0).integers(np.iinfo(dtype).max, size=(30, 20)).astype(dtype)
    data = encode_png(pixels)
    assert encode_png(pixels) == data
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
