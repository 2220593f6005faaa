"""The same pixels are read the same, whatever holds them: whole, by blocks, and prepared."""

import io
import json
import struct

import imagecodecs
import numpy as np
import pytest
import tifffile
from bundle_settings import ROOT
from image_files import deep_png
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.blocks import open_block_image
from medseg_ext.images.boxes import Box
from medseg_ext.images.eight_bit import CONTRAST_PERCENTILES, read_rgb_8_bit
from medseg_ext.images.formats import read_header
from medseg_ext.images.read import read_rgb

HEIGHT, WIDTH = 45, 70
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
# 12 bits, as a camera's: asymmetric, and of no colour twice.
GREY = (2000 * (1 + np.sin(ROWS / 7) * np.cos(COLUMNS / 5)) + 90 + COLUMNS % 5).astype(np.uint16)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)
BOXES = (Box(0, 0, HEIGHT, WIDTH), Box(7, 30, 34, 31), Box(40, 11, 45, 60))

# How the values of 12 bits are put into each type; what is in a type has its own order of magnitude.
TYPES = {
    "8 bits": lambda values: (values // 16).astype(np.uint8),
    "12 in 16 bits": lambda values: values,
    "32 bits": lambda values: values.astype(np.uint32),
    "signed": lambda values: values.astype(np.int16) - 2048,
    "float": lambda values: values.astype(np.float32),
    "float in [0, 1]": lambda values: (values / 4e6).astype(np.float32),
}
LAYOUTS = {
    "strips": {"rowsperstrip": 8},
    "one strip": {},
    "tiles": {"tile": (16, 32)},
    "BigTIFF": {"rowsperstrip": 8, "bigtiff": True},
    "big endian": {"rowsperstrip": 8, "byteorder": ">"},
}
LOSSLESS = {
    "none": {},
    "deflate": {"compression": "deflate"},
    "Adobe deflate, predictor": {"compression": "zlib", "predictor": True},
    "LZW": {"compression": "lzw"},
    "LZW, predictor": {"compression": "lzw", "predictor": True},
    "PackBits": {"compression": "packbits"},
    "zstd": {"compression": "zstd"},
    "LZMA": {"compression": "lzma"},
    "LERC": {"compression": "lerc"},
    "JPEG 2000": {"compression": "jpeg2000", "compressionargs": {"reversible": True, "level": 0}},
    "WebP": {"compression": "webp", "compressionargs": {"lossless": True}},
}


def stretched(values: np.ndarray) -> np.ndarray:
    """Stretch the contrast by the bundles' percentiles, (H, W, 3) in [0, 1]."""
    values = values.astype(np.float64)
    values = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    black, white = np.percentile(values, CONTRAST_PERCENTILES)
    return ((values - black) / (white - black)).clip(0, 1)


def check(path, expected, *, atol=1e-4, **choice):
    """See that a file is read as `expected`, by every way in."""
    whole = read_rgb(path, **choice)
    assert (whole.dtype, whole.shape) == (np.float32, (*expected.shape[:2], 3))
    np.testing.assert_allclose(stretched(whole), stretched(expected), atol=atol)
    blocks = open_block_image(path, **choice)
    assert blocks.size == read_header(path, **choice).size == expected.shape[:2]
    for box in BOXES:
        np.testing.assert_array_equal(blocks.read(box), whole[box.top : box.bottom, box.left : box.right])
    if not choice:
        prepared = read_rgb_8_bit(path.read_bytes(), str(path))
        if prepared.dtype == expected.dtype:
            expected = expected if expected.ndim == 3 else np.repeat(expected[..., None], 3, axis=2)
            np.testing.assert_allclose(prepared.astype(int), expected, atol=255 * atol)
        else:
            np.testing.assert_allclose(prepared, 255 * stretched(expected), atol=0.51 + 255 * atol)


def refusal(path, **choice):
    """Give the one message by which a file is refused, by every way in, whole or by blocks or prepared."""
    messages = set()
    ways = [lambda: read_rgb(path, **choice), lambda: open_block_image(path, **choice).read(BOXES[0])]
    if not choice:
        ways.append(lambda: read_rgb_8_bit(path.read_bytes(), str(path)))
    for way in ways:
        with pytest.raises(DataError) as caught:
            way()
        messages.add(str(caught.value))
    (message,) = messages
    assert message.startswith(f"{path} ")
    return message


def in_tiff(pixels, photometric="minisblack", **options):
    def write(path):
        kind = {name: options.pop(name) for name in ("bigtiff", "byteorder") if name in options}
        tifffile.imwrite(path, pixels, photometric=photometric, **kind, **options)

    return write


def as_planes(rgb):
    return np.ascontiguousarray(np.moveaxis(rgb, -1, 0))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", TYPES)
def test_types_in_every_layout_of_a_tiff(tmp_path, kind, layout):
    grey, rgb = TYPES[kind](GREY), TYPES[kind](RGB)
    path = tmp_path / "a.tif"
    for compression in ({}, {"compression": "zlib"}):
        options = LAYOUTS[layout] | compression
        in_tiff(grey, **options)(path)
        check(path, grey)
        in_tiff(rgb, "rgb", **options)(path)
        check(path, rgb)
        in_tiff(as_planes(rgb), "rgb", planarconfig="separate", **options)(path)
        check(path, rgb)


@pytest.mark.parametrize("compression", LOSSLESS)
@pytest.mark.parametrize("kind", TYPES)
def test_lossless_compressions_of_every_type(tmp_path, kind, compression):
    grey, rgb = TYPES[kind](GREY), TYPES[kind](RGB)
    path = tmp_path / "a.tif"
    if (compression, kind) == ("WebP", "8 bits"):  # it has no other
        in_tiff(rgb, "rgb", tile=(16, 32), **LOSSLESS["WebP"])(path)
        check(path, rgb)
    elif compression == "WebP" or (compression == "JPEG 2000" and "float" in kind):
        pytest.skip("not of this compression")
    else:
        for options in ({"tile": (16, 32)}, {"rowsperstrip": 9}):
            in_tiff(grey, **options, **LOSSLESS[compression])(path)
            check(path, grey)
            in_tiff(rgb, "rgb", **options, **LOSSLESS[compression])(path)
            check(path, rgb)


@pytest.mark.parametrize("compression", ["jpeg", "webp", "jpeg2000"])
def test_compressions_with_loss_are_close(tmp_path, compression):
    rgb = TYPES["8 bits"](np.stack([GREY, GREY // 2, GREY // 3], axis=-1))
    options = {"tile": (16, 32), "compression": compression, "compressionargs": {"level": 90}}
    in_tiff(rgb, "rgb", **options)(tmp_path / "a.tif")
    check(tmp_path / "a.tif", rgb, atol=0.15)


@pytest.mark.parametrize("subsampling", [(1, 1), (2, 2)])
def test_jpeg_s_brightness_and_colour_become_rgb(tmp_path, subsampling):
    # Of which no subsampling loses anything, in whole tiles: what fills up a tile would.
    even = np.broadcast_to(np.uint8([200, 120, 40]), (48, 96, 3)).copy()
    even[:16, :32] = (20, 90, 180)
    options = {"tile": (16, 32), "compression": "jpeg", "compressionargs": {"level": 95}, "subsampling": subsampling}
    in_tiff(even, "rgb", **options)(tmp_path / "a.tif")
    check(tmp_path / "a.tif", even, atol=0.1)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_packed_bits(tmp_path, bits, compression):
    values = (GREY >> (12 - bits) if bits <= 12 else GREY << 2).astype(np.uint8 if bits <= 8 else np.uint16)
    rows = [imagecodecs.packints_encode(row, bits) for row in values]
    (tmp_path / "a.tif").write_bytes(packed_tiff(rows, values.shape, bits, lzw=bool(compression)))
    check(tmp_path / "a.tif", values.astype(np.float32))


def packed_tiff(rows, shape, bits, *, lzw):
    """Write a TIFF of one strip of packed rows, as no library at hand does for all numbers of bits."""
    strip = b"".join(rows)
    strip = imagecodecs.lzw_encode(strip) if lzw else strip
    entries = [(256, 4, shape[1]), (257, 4, shape[0]), (258, 3, bits), (259, 3, 5 if lzw else 1), (262, 3, 1)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 4, shape[0]), (279, 4, len(strip))]
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack("<HHI", tag, kind, 1) + struct.pack(
            "<HH" if kind == 3 else "<I", *((value, 0) if kind == 3 else (value,))
        )
    return b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + directory + b"\0\0\0\0"


@pytest.mark.parametrize("kind", TYPES)
def test_white_is_zero_of_every_type(tmp_path, kind):
    values = TYPES[kind](GREY)
    negative = ~values if values.dtype.kind in "ui" else values.max() - values
    for options in ({"rowsperstrip": 8}, {"compression": "lzw", "tile": (16, 32)}):
        in_tiff(negative, "miniswhite", **options)(tmp_path / "a.tif")
        check(tmp_path / "a.tif", values)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("alpha", ["assocalpha", "unassalpha"])
@pytest.mark.parametrize("compression", [None, "lzw", "zstd"])
def test_opacity_of_every_type_is_dropped(tmp_path, kind, alpha, compression):
    grey, rgb = TYPES[kind](GREY), TYPES[kind](RGB)
    opacity = np.full_like(grey, grey.max())
    opacity[:9] = grey.min()
    options = {"extrasamples": [alpha], "compression": compression}
    in_tiff(np.dstack([grey, opacity]), planarconfig="contig", **options)(tmp_path / "a.tif")
    check(tmp_path / "a.tif", grey)
    in_tiff(as_planes(np.dstack([rgb, opacity])), "rgb", planarconfig="separate", **options)(tmp_path / "a.tif")
    check(tmp_path / "a.tif", rgb)
    assert not read_header(tmp_path / "a.tif").left_out


@pytest.mark.parametrize("kind", ["8 bits", "12 in 16 bits"])
def test_png_with_and_without_opacity(tmp_path, kind):
    grey, rgb = TYPES[kind](GREY), TYPES[kind](RGB)
    opacity = np.full_like(grey, grey.max() // 2)
    for pixels in (grey, np.dstack([grey, opacity]), rgb, np.dstack([rgb, opacity])):
        (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
        check(tmp_path / "a.png", grey if pixels.ndim == 2 or pixels.shape[2] == 2 else rgb)
    if kind != "8 bits":
        (tmp_path / "a.png").write_bytes(deep_png(rgb))
        check(tmp_path / "a.png", rgb)


@pytest.mark.parametrize("suffix", [".bmp", ".jpg"])
def test_bmp_and_jpeg(tmp_path, suffix):
    grey, rgb = TYPES["8 bits"](GREY), TYPES["8 bits"](RGB)
    for pixels in (grey, rgb):
        Image.fromarray(pixels).save(tmp_path / f"a{suffix}", **({"quality": 95} if suffix == ".jpg" else {}))
        check(tmp_path / f"a{suffix}", pixels, atol=0.15 if suffix == ".jpg" else 1e-4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_tiff(tmp_path, orientation):
    stored = RGB[:30, :40]
    exif = Image.Exif()
    exif[274] = orientation
    for options in ({"tile": (16, 16)}, {"rowsperstrip": 7, "compression": "lzw"}):
        in_tiff(stored, "rgb", extratags=[(274, "H", 1, orientation, True)], **options)(tmp_path / "a.tif")
        whole, blocks = read_rgb(tmp_path / "a.tif"), open_block_image(tmp_path / "a.tif")
        assert whole.shape[:2] == blocks.size == ((40, 30) if orientation >= 5 else (30, 40))
        for box in (Box(0, 0, *blocks.size), Box(3, 5, 20, 29)):
            np.testing.assert_array_equal(blocks.read(box), whole[box.top : box.bottom, box.left : box.right])


@pytest.mark.parametrize("kind", [{"ome": True}, {"imagej": True}, {"shaped": True}])
@pytest.mark.parametrize("in_one_directory", [False, True])
def test_stacks_hold_their_pages(tmp_path, kind, in_one_directory):
    if "ome" in kind and in_one_directory:
        pytest.skip("OME has a directory a page")
    stack = np.stack([GREY, GREY[::-1], GREY[:, ::-1]])
    with tifffile.TiffWriter(tmp_path / "a.tif", **kind) as tiff:
        tiff.write(stack, photometric="minisblack", metadata={"axes": "ZYX"}, truncate=in_one_directory)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert len(tiff.pages) == (1 if in_one_directory else 3)
    for page, expected in enumerate(stack):
        check(tmp_path / "a.tif", expected, page=page)
    check(tmp_path / "a.tif", GREY)
    assert [each.text for each in read_header(tmp_path / "a.tif").left_out] == [
        "of 3 pages page 0 was taken, counted from 0"
    ]
    assert "has no page 3: it has 3, counted from 0" in refusal(tmp_path / "a.tif", page=3)


def test_previews_and_levels_of_a_pyramid_are_no_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(GREY[::5, ::5] // 3, photometric="minisblack", subfiletype=1)
        tiff.write(GREY, photometric="minisblack", subifds=1)
        tiff.write(GREY[::2, ::2], photometric="minisblack", subfiletype=1)
        tiff.write(GREY[::4, ::4], photometric="minisblack", subfiletype=1)
    check(tmp_path / "a.tif", GREY)
    assert not read_header(tmp_path / "a.tif").left_out
    assert "has no page 1: it has 1, counted from 0" in refusal(tmp_path / "a.tif", page=1)


def test_a_file_of_previews_alone_shows_them(tmp_path):
    in_tiff(GREY, subfiletype=1)(tmp_path / "a.tif")
    check(tmp_path / "a.tif", GREY)


CHANNELS = np.stack([GREY // 3, GREY[::-1] // 2, GREY])
NAMES = ["DAPI", "GFP", "Cy5"]


def write_channels(path, how, channels):
    if how == "contiguous":
        tifffile.imwrite(path, np.moveaxis(channels, 0, -1), photometric="minisblack", planarconfig="contig")
    elif how == "planar":
        tifffile.imwrite(path, channels, photometric="minisblack", planarconfig="separate", compression="lzw")
    elif how == "ImageJ":
        tifffile.imwrite(path, channels, imagej=True, metadata={"axes": "CYX"})
    elif how == "ImageJ in one directory":
        with tifffile.TiffWriter(path, imagej=True) as tiff:
            tiff.write(channels, metadata={"axes": "CYX"}, truncate=True)
    else:
        metadata = {"axes": "CYX", "Channel": {"Name": NAMES[: len(channels)]}}
        tifffile.imwrite(path, channels, ome=True, photometric="minisblack", metadata=metadata)


AS_SAMPLES = ("contiguous", "planar")
AS_PAGES = ("ImageJ", "ImageJ in one directory", "OME")


@pytest.mark.parametrize("how", [*AS_SAMPLES, *AS_PAGES])
@pytest.mark.parametrize("n_channels", [2, 3, 4, 5])
def test_any_channel_can_be_chosen_and_what_is_left_out_is_told(tmp_path, how, n_channels):
    channels = np.concatenate([CHANNELS, CHANNELS[:, :, ::-1]])[:n_channels]
    path = tmp_path / "a.tif"
    if how == "OME" and n_channels > 3:
        pytest.skip("no names")
    write_channels(path, how, channels)
    for channel, expected in enumerate(channels):
        check(path, expected, channel=channel)
        assert not read_header(path, channel=channel).left_out
        if how in AS_PAGES:
            check(path, expected, page=channel)
    assert f"has no channel {n_channels}: it has {n_channels} (0" in refusal(path, channel=n_channels)
    if how in AS_PAGES:
        check(path, channels[0])
        (told,) = read_header(path).left_out  # once, though each channel is a page
        assert told.text.startswith(f"of {n_channels} channels (0")
        assert told.remedy == "--channel chooses"
    elif n_channels == 5:
        assert "has 5 channels (0, 1, 2, 3, 4), expected grey, RGB or RGBA: choose one with --channel" in refusal(path)
    else:
        check(path, channels[0] if n_channels == 2 else np.moveaxis(channels[:3], 0, -1))
        expected = {2: ["of 2 channels (0, 1) 0 was"], 3: [], 4: ["of 4 channels (0, 1, 2, 3) 0, 1, 2 were"]}[
            n_channels
        ]
        assert [each.text for each in read_header(path).left_out] == [
            f"{each} taken, counted from 0" for each in expected
        ]


def test_channels_have_the_names_of_ome(tmp_path):
    path = tmp_path / "a.ome.tif"
    write_channels(path, "OME", CHANNELS)
    check(path, CHANNELS[2], channel="Cy5")
    check(path, CHANNELS[1], channel="gfp")
    (told,) = read_header(path).left_out
    assert told.text == "of 3 channels (0 DAPI, 1 GFP, 2 Cy5) 0 DAPI was taken, counted from 0"
    message = refusal(path, channel="TRITC")
    assert "has no channel named 'TRITC': it has 3 (0 DAPI, 1 GFP, 2 Cy5), counted from 0; choose another" in message


@pytest.mark.parametrize("axes", ["ZCYX", "CZYX", "TCYX"])
@pytest.mark.parametrize("kind", [{"ome": True}, {"imagej": True}])
def test_a_channel_is_of_the_page_whatever_the_order_of_axes(tmp_path, axes, kind):
    if "imagej" in kind and axes == "CZYX":
        pytest.skip("ImageJ's order is fixed")
    stack = np.stack([CHANNELS, CHANNELS[:, ::-1]], axis=1 if axes[0] == "C" else 0)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="minisblack", metadata={"axes": axes}, **kind)
    pages = stack.reshape(6, HEIGHT, WIDTH)
    for page in range(6):
        check(tmp_path / "a.tif", pages[page], page=page)
        other, _ = (page % 2, page // 2) if axes[0] == "C" else (page // 3, page % 3)
        for channel in range(3):
            expected = stack[channel, other] if axes[0] == "C" else stack[other, channel]
            check(tmp_path / "a.tif", expected, page=page, channel=channel)
    (told,) = read_header(tmp_path / "a.tif", channel=2).left_out
    assert told.text == f"of 6 pages page {4 if axes[0] == 'C' else 2} was taken, counted from 0"


def test_channels_of_other_formats_are_their_colours(tmp_path):
    Image.fromarray(TYPES["8 bits"](RGB)).save(tmp_path / "a.png")
    check(tmp_path / "a.png", TYPES["8 bits"](RGB)[..., 1], channel=1)
    assert "has no channel 3: it has 3 (0, 1, 2)" in refusal(tmp_path / "a.png", channel=3)


@pytest.mark.parametrize("photometric", ["minisblack", "rgb"])
def test_a_compression_that_cannot_be_read_is_named_alike_by_every_way_in(tmp_path, photometric):
    in_tiff(GREY if photometric == "minisblack" else RGB, photometric, tile=(16, 32), compression="zlib")(
        tmp_path / "a.tif"
    )
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        at = tiff.pages.first.tags["Compression"].valueoffset
    data[at : at + 2] = struct.pack("<H", 32809)
    (tmp_path / "a.tif").write_bytes(data)
    assert "is compressed by THUNDERSCAN, which cannot be read: save it again" in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", LOSSLESS)
def test_damaged_pixels_are_refused_alike_by_every_way_in_or_read_alike(tmp_path, compression):
    if compression == "none":
        pytest.skip("no damage shows")
    rgb = TYPES["8 bits"](RGB)
    in_tiff(rgb, "rgb", tile=(16, 32), **LOSSLESS[compression])(tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        start, n_bytes = tiff.pages.first.dataoffsets[1], tiff.pages.first.databytecounts[1]
    data[start : start + n_bytes] = b"\xff" * n_bytes
    (tmp_path / "a.tif").write_bytes(data)
    try:
        whole = read_rgb(tmp_path / "a.tif")
    except DataError:
        assert "a.tif is damaged" in refusal(tmp_path / "a.tif")
    else:
        np.testing.assert_array_equal(open_block_image(tmp_path / "a.tif").read(BOXES[0]), whole)


def test_preparation_has_the_contrast_of_the_bundles():
    for config in ROOT.glob("bundles/*/configs/inference.json"):
        assert json.loads(config.read_text())["contrast_percentiles"] == list(CONTRAST_PERCENTILES)
