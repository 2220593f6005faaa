"""Any pixels, held by any file that can hold them, are read the same: whole and by blocks, or refused by name."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.blocks import open_block_image
from medseg_ext.images.boxes import Box
from medseg_ext.images.formats import read_header
from medseg_ext.images.read import read_rgb

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries, on odd files
SIDES = st.integers(1, 70)
INTEGERS = ["u1", "u2", "u4", "i1", "i2", "i4"]
SIGNATURES = [
    b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0", b"BM", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\x20\0\0\0WEBP",
    b"\0" * 128 + b"DICM", b"\x1f\x8b", b"\x5c\x01\0\0", b"",
]  # fmt: skip
SUFFIXES = [".png", ".tif", ".bmp", ".jpg", ".dcm", ".nii", ".nii.gz", ".ome.tif", ".svs"]


@st.composite
def pixels(draw):
    """Draw pixels of any type: (H, W), or (H, W, 3), of few values or many."""
    shape = (draw(SIDES), draw(SIDES), *draw(st.sampled_from([(), (3,)])))
    dtype = np.dtype(draw(st.sampled_from([*INTEGERS, "f2", "f4", "f8"])))
    if dtype.kind == "f":
        size = draw(st.sampled_from([1e-6, 1.0, 1e4]))
        values = draw(arrays.arrays("f8", shape, elements=st.floats(-1, 1, width=32), fill=st.just(0.25)))
        return (values * size).astype(dtype)
    return draw(arrays.arrays(dtype, shape))


@st.composite
def boxes(draw, size):
    """Draw a box inside an image."""
    (top, bottom), (left, right) = (sorted((draw(st.integers(0, n)), draw(st.integers(0, n)))) for n in size)
    assume(top < bottom and left < right)
    return Box(top, left, bottom, right)


def refusal(way, *words):
    """Give what a function refuses its arguments with, if it does."""
    try:
        way(*words)
    except DataError as error:
        return str(error)
    return None


def check_ways(path, size, box):
    """See that all ways in agree; returns what is read."""
    whole = read_rgb(path)
    assert whole.shape == (*size, 3)
    assert whole.dtype == np.float32
    assert np.isfinite(whole).all()
    assert whole.min() >= 0
    assert whole.max() <= 1
    assert read_header(path).size == size
    blocks = open_block_image(path)
    assert blocks.size == size
    np.testing.assert_array_equal(blocks.read(box), whole[box.top : box.bottom, box.left : box.right])
    return whole


@given(data=st.data(), values=pixels())
def test_a_tiff_of_any_type_and_layout_is_read_as_its_pixels(data, values, tmp_path):
    layout = data.draw(st.sampled_from([{}, {"rowsperstrip": 5}, {"tile": (16, 32)}]))
    compression = data.draw(st.sampled_from([None, "zlib", "lzw", "zstd", "packbits", "lzma"]))
    planar = values.ndim == 3 and data.draw(st.booleans())
    options = {
        "photometric": "rgb" if values.ndim == 3 else "minisblack", "compression": compression, **layout,
        "predictor": compression in ("zlib", "lzw", "zstd") and values.dtype != np.float16 and data.draw(st.booleans()),
        "bigtiff": data.draw(st.booleans()), "byteorder": data.draw(st.sampled_from("<>")),
    }  # fmt: skip
    path = tmp_path / "any.tif"
    held = np.moveaxis(values, 2, 0) if planar else values
    tifffile.imwrite(path, held, **options, planarconfig="separate" if planar else None, metadata=None)
    read = check_ways(path, values.shape[:2], data.draw(boxes(values.shape[:2])))
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, values, photometric=options["photometric"], metadata=None)
    np.testing.assert_array_equal(read, read_rgb(plain))
    wide = values.astype(np.float64) if values.ndim == 3 else np.repeat(values[..., None].astype(np.float64), 3, 2)
    order = np.argsort(wide, axis=None, kind="stable")  # what is brighter stays so
    assert (np.diff(read.ravel()[order].astype(np.float64)) >= -1e-6).all()


@given(data=st.data(), size=st.tuples(SIDES, SIDES), form=st.sampled_from(["PNG", "BMP", "TIFF", "WEBP", "GIF"]))
def test_eight_bits_are_read_alike_from_every_lossless_format(data, size, form, tmp_path):
    values = data.draw(arrays.arrays("u1", size))
    path = tmp_path / f"any.{form.lower()}"
    options = {"lossless": True} if form == "WEBP" else {}
    Image.fromarray(values).save(path, form, **options)
    read = check_ways(path, size, data.draw(boxes(size)))
    np.testing.assert_array_equal(read, np.repeat((values / np.float32(255)).astype(np.float32)[..., None], 3, 2))


@given(head=st.sampled_from(SIGNATURES), rest=st.binary(max_size=400), suffix=st.sampled_from(SUFFIXES))
def test_bytes_that_look_like_an_image_are_read_or_refused_by_name(head, rest, suffix, tmp_path):
    path = tmp_path / f"any{suffix}"
    path.write_bytes(head + rest)
    for way in (read_header, read_rgb, lambda each: open_block_image(each).read(Box(0, 0, 1, 1))):
        reason = refusal(way, path)
        assert reason is None or (str(path) in reason and "\n" not in reason)


@given(data=st.data(), values=arrays.arrays("u1", st.tuples(st.integers(2, 40), st.integers(2, 40))))
def test_a_file_cut_short_is_refused_or_is_whole(data, values, tmp_path):
    form = data.draw(st.sampled_from(["PNG", "BMP", "TIFF", "GIF"]))
    encoded = io.BytesIO()
    Image.fromarray(values).save(encoded, form)
    content = encoded.getvalue()
    path = tmp_path / f"any.{form.lower()}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    reason = refusal(read_rgb, path)
    if reason is None:  # what was cut off does not matter
        np.testing.assert_allclose(read_rgb(path)[..., 0] * 255, values, atol=1e-3)
    else:
        assert str(path) in reason
