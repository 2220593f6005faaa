import io

import numpy as np
import pytest
from PIL import Image

from medseg_ext.data.errors import DataError
from medseg_ext.data.pixels import encode_png, read_class_map, read_rgb

DSB2018 = {0: 0, 255: 1}
SEGPC2021 = {0: 0, 20: 1, 40: 2}
CELL = np.array([[0, 20, 40], [0, 20, 20]], np.uint8)


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def from_array(array: np.ndarray, kind: str = "PNG") -> bytes:
    return encode(Image.fromarray(array), kind)


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
    rgb = read_rgb(encode(Image.fromarray(CELL).convert(mode)), "i")
    assert (rgb.shape, rgb.dtype) == ((2, 3, 3), np.uint8)


def test_transparent_pixels_keep_their_colour():
    image = np.zeros((2, 3, 4), np.uint8)
    image[0, 1] = (10, 20, 30, 0)
    assert read_rgb(from_array(image), "i")[0, 1].tolist() == [10, 20, 30]


def test_images_with_16_bits_keep_their_shade():
    image = np.array([[0, 256, 257], [32896, 65534, 65535]], np.uint16)
    assert read_rgb(from_array(image), "i")[..., 1].tolist() == [[0, 0, 1], [128, 254, 255]]


def test_images_with_32_bits_are_refused():
    with pytest.raises(DataError, match=r"image.tif has more than 16 bits"):
        read_rgb(from_array(np.full((4, 5), 300, np.int32), "TIFF"), "image.tif")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "JPEG", "TIFF"])
def test_images_cut_short_are_refused(kind):
    data = from_array(np.random.default_rng(0).integers(256, size=(40, 50, 3), dtype=np.uint8), kind)
    for length in (0, 3, len(data) // 4, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(DataError, match=r"image.x is not an image, or is cut short"):
            read_rgb(data[:length], "image.x")


def test_a_png_cut_at_any_byte_is_refused_or_whole():
    pixels = np.random.default_rng(0).integers(256, size=(8, 9, 3), dtype=np.uint8)
    data = from_array(pixels)
    for length in range(len(data)):
        try:
            assert np.array_equal(read_rgb(data[:length], "i"), pixels)
        except DataError:
            continue


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_png_is_lossless_and_the_same_every_time(dtype):
    pixels = np.random.default_rng(0).integers(np.iinfo(dtype).max, size=(30, 20)).astype(dtype)
    data = encode_png(pixels)
    assert encode_png(pixels) == data
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
