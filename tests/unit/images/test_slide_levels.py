"""Whole slides and OME-Zarr images are read by levels, in pixels of the image itself."""

import numpy as np
import pytest
import tifffile
import zarr

from medseg_ext.errors import DataError
from medseg_ext.images.blocks import BlockImage, open_block_image
from medseg_ext.images.boxes import Box
from medseg_ext.images.formats import read_header
from medseg_ext.images.pixel_size import read_pixel_size_um
from medseg_ext.images.read import read_rgb
from medseg_ext.images.tissue import find_tissue
from medseg_ext.synthetic.slide import Slide, write_slide

SIZE = (701, 902)


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "a.svs"
    write_slide(path, SIZE, tissue=0.3)
    return path


def write_zarr(path, pixels, *, zarr_format=2, axes="cyx", version=None, levels=(1, 4), names=()):
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    for number, level in enumerate(levels):
        group.create_array(str(number), data=np.ascontiguousarray(pixels[..., ::level, ::level]))
    scale = [0.5 if axis == "y" else 0.25 if axis == "x" else 1.0 for axis in axes]
    datasets = [
        {"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": [level * s for s in scale]}]}
        for number, level in enumerate(levels)
    ]
    told = [{"name": axis, **({"unit": "micrometer"} if axis in "yx" else {})} for axis in axes]
    multiscales = [{"axes": told, "datasets": datasets}]
    omero = {"omero": {"channels": [{"label": name} for name in names]}} if names else {}
    if zarr_format == 2:
        group.attrs.update({"multiscales": [multiscales[0] | {"version": version or "0.4"}], **omero})
    else:
        group.attrs["ome"] = {"version": version or "0.5", "multiscales": multiscales, **omero}
    return path


def test_a_slide_has_its_levels_and_size_and_its_other_pages_are_not_read(slide):
    image = open_block_image(slide)
    assert (image.size, image.reductions) == (SIZE, (1, 4, 16))
    assert read_header(slide) == (SIZE, [])
    assert read_pixel_size_um(slide) == (0.5, 0.5)
    drawn = Slide(SIZE, tissue=0.3).read(Box(0, 0, *SIZE)) / 255
    assert np.abs(image.read(Box(0, 0, *SIZE)) - drawn).mean() < 0.03  # JPEG


@pytest.mark.parametrize("box", [Box(0, 0, *SIZE), Box(16, 48, 336, 304), Box(16, 16, 701, 902), Box(3, 5, 50, 60)])
@pytest.mark.parametrize("factor", [4, 8, 5])
def test_a_box_that_is_shrunk_is_the_same_from_a_level_as_from_the_image(slide, box, factor):
    image = open_block_image(slide)
    from_level = image.read_shrunk(box, factor)
    from_image = type("Flat", (BlockImage,), {"read": lambda _, part: image.read(part)})().read_shrunk(box, factor)
    assert from_level.shape == from_image.shape
    assert np.abs(from_level - from_image).mean() < 0.02


def test_what_a_dim_channel_shows_beside_bright_ones_is_tissue(tmp_path):
    pixels = np.random.default_rng(0).normal(900, 30, (2, 640, 640))
    pixels[0, :320, :320] += 40000
    pixels[1, 320:, 320:] += 1000
    image = open_block_image(write_zarr(tmp_path / "a.zarr", pixels.astype(np.uint16)), channel=[0, 1])
    tissue = find_tissue(image, apart=True)
    assert tissue.touches(Box(100, 100, 200, 200))
    assert tissue.touches(Box(500, 500, 600, 600))
    assert not find_tissue(image).touches(Box(500, 500, 600, 600))


def test_tissue_is_found_and_glass_is_not(slide):
    tissue = find_tissue(open_block_image(slide))
    assert tissue.places.mean() == pytest.approx(0.3, abs=0.06)
    assert not tissue.touches(Box(0, 0, 60, 60))
    assert tissue.touches(Box(300, 400, 420, 520))


def test_of_fluorescence_dark_is_the_ground_however_dim_all_is(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.normal(120, 5, (640, 640))
    pixels[400:500, 300:420] += 200
    pixels = pixels.astype(np.uint16)
    image = open_block_image(write_zarr(tmp_path / "a.ome.zarr", pixels[None]))
    tissue = find_tissue(image)
    assert tissue.touches(Box(400, 300, 500, 420))
    assert not tissue.touches(Box(0, 0, 200, 200))


def test_nothing_of_a_slide_that_is_all_tissue_is_left_out(tmp_path):
    write_slide(tmp_path / "a.svs", (640, 640), tissue=4.0)
    assert find_tissue(open_block_image(tmp_path / "a.svs")).places.mean() > 0.95


def test_grey_ground_is_no_glass(tmp_path):
    pixels = np.random.default_rng(0).normal(128, 4, (640, 640))
    pixels[400:420, 300:320] += 25  # a cell in phase contrast
    path = write_zarr(tmp_path / "a.ome.zarr", pixels.astype(np.uint8)[None])
    assert find_tissue(open_block_image(path)).places.all()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_ome_zarr_is_read_as_its_pixels_are(zarr_format, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 70, 90), dtype=np.uint8)
    path = write_zarr(tmp_path / "a.ome.zarr", pixels, zarr_format=zarr_format)
    np.testing.assert_array_equal(read_rgb(path), np.moveaxis(pixels, 0, -1) / np.float32(255))
    assert read_pixel_size_um(path) == (0.5, 0.25)
    image = open_block_image(path)
    assert (image.size, image.reductions) == ((70, 90), (1, 4))
    np.testing.assert_array_equal(image.read(Box(3, 5, 40, 60)), read_rgb(path)[3:40, 5:60])


def test_planes_and_channels_of_ome_zarr_are_chosen_and_told(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 2, 3, 40, 50), dtype=np.uint8)
    path = write_zarr(tmp_path / "a.ome.zarr", pixels, axes="tczyx", names=["DAPI", "actin"])
    told = read_header(path).left_out
    assert "of 6 pages (t 2, z 3) page 0 was taken" in told[0].text
    assert "DAPI" in told[1].text
    np.testing.assert_array_equal(read_rgb(path, page=4, channel="actin")[..., 0], pixels[1, 1, 1] / np.float32(255))
    for wrong in ({"page": 6}, {"channel": "tubulin"}):
        with pytest.raises(DataError, match=r"a\.ome\.zarr"):
            read_rgb(path, **wrong)


def test_what_is_no_image_of_ome_zarr_is_told_in_one_line(tmp_path):
    zarr.open_group(str(tmp_path / "none.zarr"), mode="w")
    (tmp_path / "empty.zarr").mkdir()
    pixels = np.ones((1, 40, 50), np.uint8)
    cases = {
        "none.zarr": "no multiscales in it",
        "empty.zarr": "is no Zarr",
        write_zarr(tmp_path / "new.zarr", pixels, zarr_format=3, version="0.10").name: "is of NGFF 0.10",
    }
    broken = write_zarr(tmp_path / "broken.zarr", pixels)
    next(file for file in (broken / "0").rglob("*") if file.name[0].isdigit()).write_bytes(b"no chunk")
    cases[broken.name] = "is damaged"
    for name, reason in cases.items():
        with pytest.raises(DataError, match=reason) as caught:
            read_rgb(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_level_that_is_damaged_is_told_with_the_file(slide, tmp_path):
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as file:
        level = file.series[0].levels[1].pages[0]
        for place, length in zip(level.dataoffsets, level.databytecounts, strict=True):
            data[place : place + length] = bytes(length)
    (tmp_path / "a.svs").write_bytes(data)
    image = open_block_image(tmp_path / "a.svs")
    image.read(Box(0, 0, 300, 300))
    with pytest.raises(DataError, match=r"a\.svs is damaged"):
        image.read_shrunk(Box(0, 0, 400, 400), 4)


def test_a_slide_without_the_size_of_a_pixel_has_none(tmp_path):
    write_slide(tmp_path / "a.svs", (300, 300), tissue=0.5, pixel_size_um=None)
    assert read_pixel_size_um(tmp_path / "a.svs") is None
