"""The files of a large image, written piece by piece, are those of the image as a whole."""

import csv
import gzip
import json
import zipfile

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from shapely.geometry import shape
from skimage.measure import label

from medseg_ext.images.blocks import open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.read import read_rgb
from medseg_ext.objects.formats import FORMATS, ResultFormats, coco_part
from medseg_ext.objects.measurements import summarise_objects
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_files import write_objects
from medseg_ext.tiling.large_objects import LargeObjects
from medseg_ext.tiling.large_result_files import write_large_objects
from medseg_ext.tiling.pixel_store import PixelStore
from medseg_ext.tiling.stitching import Stitcher
from medseg_ext.tiling.tiles import plan_tiles

SIZE = (100, 140)
WHOLE = Box(0, 0, *SIZE)
NAMES = {"class_names": ["background", "cytoplasm", "nucleus"], "object_name": "cell", "pixel_size_um": (0.5, 0.25)}
LONG = Box(2, 5, 6, 135)  # longer than any region


def cells() -> np.ndarray:
    """Squares of 8 x 8 pixels, many on borders of tiles, a bar over all tiles of a row, and lines on two edges."""
    truth = np.zeros(SIZE, dtype=np.int32)
    for number, (top, left) in enumerate(((t, c) for t in range(10, 90, 11) for c in range(1, 130, 13)), start=1):
        truth[top : top + 8, left : left + 8] = number
    for box in (LONG, Box(0, 50, 1, 58), Box(97, 0, 99, 1)):
        truth[box.inside(WHOLE)] = truth.max() + 1
    return truth


@pytest.fixture
def stores(tmp_path):
    with (
        pixel_io(),
        PixelStore(tmp_path / "a.tif", SIZE, np.uint32) as instances,
        PixelStore(tmp_path / "b.tif", SIZE, np.uint8) as classes,
    ):
        yield instances, classes


def found_in(stores, truth: np.ndarray) -> LargeObjects:
    """Objects as tiles of 30 pixels find them; every third column is nucleus, and scores grow with the place."""
    stitcher, tiles = Stitcher(*stores), plan_tiles(SIZE, tile_px=30, margin_px=10)
    for core, region in tiles:
        seen = label(truth[region.inside(WHOLE)], connectivity=1).astype(np.int32)
        columns = np.arange(region.left, region.right)
        classes = np.where(columns % 3 == 0, 2, 1) * (seen > 0)
        count = int(seen.max())
        scores = torch.arange(1, count + 1) / (count + 1)
        objects = Objects(torch.from_numpy(seen[None]), torch.from_numpy(classes[None].astype(np.uint8)), scores)
        stitcher.add(objects, region=region, core=core)
    return LargeObjects(
        *stores, stitcher.finish(), cores=[tile.core for tile in tiles], regions=[tile.region for tile in tiles]
    )


@pytest.fixture
def image_path(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "image.tif", pixels, photometric="rgb", tile=(32, 32))
    return tmp_path / "image.tif"


def fail_on_remark(text: str) -> None:
    pytest.fail(text)


def write(found: LargeObjects, image_path, **options):
    """Write to `tiles` beside the image; returns the folder and the summary."""
    folder, workshop = image_path.parent / "tiles", image_path.parent / "workshop"
    folder.mkdir(), workshop.mkdir()
    options = NAMES | {"remark": fail_on_remark} | options
    summary = write_large_objects(folder, workshop, "x", found, open_block_image(image_path), **options)
    assert not list(workshop.iterdir())
    return folder, summary


def content_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_object_has_one_place_that_holds_it(stores):
    found = found_in(stores, cells())
    places = list(found.by_place())
    assert sorted(number for _, ids in places for number in ids.tolist()) == list(range(1, cells().max() + 1))
    for box, ids in places:
        assert all(box.contains(found.stitched.boxes[number - 1]) for number in ids)
        assert box in found.regions or box == LONG


@pytest.mark.parametrize("output_format", ["tiff", "nifti", "ome-zarr", "ome-zarr-0.5"])
def test_the_files_are_those_of_the_image_as_a_whole(stores, image_path, monkeypatch, output_format):
    monkeypatch.setattr("medseg_ext.tiling.large_result_files.BLOCK_PX", 32)
    found = found_in(stores, cells())
    whole = image_path.parent / "whole"
    whole.mkdir()
    objects = Objects(
        torch.from_numpy(found.read(WHOLE)[None].astype(np.int32)),
        torch.from_numpy(found.classes.read(WHOLE)[None]),
        torch.from_numpy(found.stitched.scores),
    )
    formats = ResultFormats(output_format, FORMATS)
    table = write_objects(whole, "x", objects, read_rgb(image_path), formats=formats, **NAMES)
    tiles, summary = write(found, image_path, formats=formats)
    assert summary == summarise_objects(table, SIZE)
    assert {path.name for path in tiles.iterdir()} == {path.name for path in whole.iterdir()}
    if output_format == "nifti":
        assert (tiles / "x_instances.nii.gz").read_bytes() == (whole / "x_instances.nii.gz").read_bytes()
    elif output_format != "tiff":
        of_tiles, of_whole = (content_of(folder / "x_instances.ome.zarr") for folder in (tiles, whole))
        assert of_tiles == of_whole
    else:
        maps = [tifffile.imread(folder / "x_instances.tif") for folder in (tiles, whole)]
        np.testing.assert_array_equal(*maps)
        assert maps[0].dtype == maps[1].dtype
        resolutions = [
            tifffile.TiffFile(folder / "x_instances.tif").pages.first.resolution for folder in (tiles, whole)
        ]
        assert resolutions[0] == resolutions[1] == (40000, 20000)
    for name in ("x_classes.png", "x_overlay.png"):
        np.testing.assert_array_equal(*(np.asarray(Image.open(folder / name)) for folder in (tiles, whole)))
    rows = [list(csv.reader((folder / "x_objects.csv").open())) for folder in (tiles, whole)]
    assert rows[0][0] == rows[1][0]
    for in_tiles, in_whole in zip(*(each[1:] for each in rows), strict=True):
        assert in_tiles[1] == in_whole[1] == "cell"
        numbers = ([float(cell or "nan") for cell in (row[0], *row[2:])] for row in (in_tiles, in_whole))
        np.testing.assert_allclose(*numbers, atol=2e-3)
    features = [json.loads((folder / "x_objects.geojson").read_text())["features"] for folder in (tiles, whole)]
    packed = [json.loads(gzip.decompress((folder / "x_objects.geojson.gz").read_bytes())) for folder in (tiles, whole)]
    assert [each["features"] for each in packed] == features
    outlines = [{each["id"]: each["geometry"] for each in of_one} for of_one in features]
    assert outlines[0] == outlines[1]
    assert len(features[0]) == cells().max()
    lines = [coco_part(folder, "x").read_text().splitlines() for folder in (tiles, whole)]
    annotations = [{each["label"]: each for each in map(json.loads, of_one[1:])} for of_one in lines]
    assert lines[0][0] == lines[1][0]
    assert len(annotations[0]) == cells().max()
    for number, annotation in annotations[0].items():
        assert annotation == annotations[1][number] | {"score": pytest.approx(annotations[1][number]["score"])}
    archives = [zipfile.ZipFile(folder / "x_rois.zip") for folder in (tiles, whole)]
    rois = [{name: archive.read(name) for name in archive.namelist()} for archive in archives]
    assert rois[0] == rois[1]
    assert len(rois[0]) == cells().max()
    files = [tifffile.TiffFile(folder / "x_labels.ome.tif") for folder in (tiles, whole)]
    np.testing.assert_array_equal(*(file.asarray() for file in files))
    assert all(file.is_ome for file in files)
    assert files[0].ome_metadata == files[1].ome_metadata


def test_an_image_without_objects_has_all_files(stores, image_path):
    folder, summary = write(found_in(stores, np.zeros(SIZE, dtype=np.int32)), image_path)
    assert (summary["objects"], summary["height"], summary["width"]) == (0, *SIZE)
    assert len((folder / "x_objects.csv").read_text().split()) == 1
    assert json.loads((folder / "x_objects.geojson").read_text())["features"] == []
    assert tifffile.imread(folder / "x_instances.tif").max() == 0


def test_a_reduced_overlay_shows_the_middle_pixel_of_each_three(stores, image_path, monkeypatch):
    seen, drawn, shown = [], [], []
    module = "medseg_ext.tiling.large_result_files"
    monkeypatch.setattr(f"{module}.OVERLAY_PX", 50)
    monkeypatch.setattr(f"{module}.brightened", lambda pixels: seen.append(pixels) or np.zeros(pixels.shape, np.uint8))
    monkeypatch.setattr(f"{module}.draw_outlines", lambda picture, *maps: drawn.extend(maps) or picture + 1)
    found = found_in(stores, cells())
    folder, _ = write(found, image_path, show=lambda *pictures: shown.extend(pictures))
    (pixels,), (labels, classes), (picture, overlay) = seen, drawn, shown
    assert ((picture == 0) & (overlay == 1)).all()
    assert (np.asarray(Image.open(folder / "x_overlay.png")) == overlay).all()
    rows, columns = [*range(1, 99, 3), 99], [*range(1, 140, 3)]  # the last row is alone
    np.testing.assert_array_equal(labels, found.read(WHOLE)[rows][:, columns])
    np.testing.assert_array_equal(classes, found.classes.read(WHOLE)[rows][:, columns])
    assert pixels.shape == (34, 47, 3)
    np.testing.assert_allclose(pixels[2, 5], read_rgb(image_path)[6:9, 15:18].mean(axis=(0, 1)), atol=1e-5)


@pytest.mark.parametrize("most_px", [4 * 130 - 1, 150, 60])
def test_an_object_too_large_to_be_held_is_measured_as_others_and_outlined_coarsely(
    stores, image_path, monkeypatch, most_px
):
    monkeypatch.setattr("medseg_ext.tiling.large_result_files.OVERLAY_PX", 200)
    found = found_in(stores, cells())
    usual, summary = write(found, image_path)
    usual = usual.rename(image_path.parent / "usual")
    (image_path.parent / "workshop").rmdir()
    monkeypatch.setattr("medseg_ext.tiling.large_result_files.LARGEST_OBJECT_PX", most_px)
    remarks: list[str] = []
    banded, banded_summary = write(found, image_path, remark=remarks.append)
    assert banded_summary == pytest.approx(summary)
    (number,) = (number for number, box in enumerate(found.stitched.boxes, start=1) if box == LONG)
    assert [remark for remark in remarks if f"object {number} is 4 x 130 pixels large" in remark]
    for name in ("x_instances.tif", "x_classes.png", "x_overlay.png"):
        assert (usual / name).read_bytes() == (banded / name).read_bytes()
    rows = [list(csv.reader((folder / "x_objects.csv").open())) for folder in (usual, banded)]
    assert len(rows[0]) == len(rows[1])
    for one, other in zip(*(each[1:] for each in rows), strict=True):
        numbers = ([float(cell or "nan") for cell in (row[0], *row[2:])] for row in (one, other))
        np.testing.assert_allclose(*numbers, rtol=1e-5)
    features = [json.loads((folder / "x_objects.geojson").read_text())["features"] for folder in (usual, banded)]
    exact, coarse = (
        next(shape(each["geometry"]) for each in of_one if each["properties"]["name"] == str(number))
        for of_one in features
    )
    assert coarse.contains(exact)
    assert coarse.bounds == exact.bounds  # a box fills its own
    assert {each["id"] for each in features[0]} == {each["id"] for each in features[1]}


def test_the_outline_of_a_boundless_object_has_its_holes_and_stays_in_its_box(stores, image_path, monkeypatch):
    monkeypatch.setattr("medseg_ext.tiling.large_result_files.LARGEST_OBJECT_PX", 300)
    truth = np.zeros(SIZE, dtype=np.int32)
    truth[5:95, 10:139] = 1
    truth[30:60, 40:90] = 0
    remarks: list[str] = []
    folder, summary = write(found_in(stores, truth), image_path, remark=remarks.append)
    (feature,) = json.loads((folder / "x_objects.geojson").read_text())["features"]
    outline = shape(feature["geometry"])
    assert summary["objects"] == 1
    assert outline.bounds == (10, 5, 139, 95)
    assert len(outline.interiors) == 1
    assert outline.area >= (truth > 0).sum()
    (remark,) = remarks
    assert "object 1 is 90 x 129 pixels large, and its outline is drawn around blocks of 7 x 7" in remark
    assert outline.area <= (truth > 0).sum() + 7 * 2 * (50 + 30)


def test_levels_are_picked_out_of_the_label_map_whose_other_name_has_the_same_bytes(stores, image_path, monkeypatch):
    monkeypatch.setattr("medseg_ext.tiling.large_result_files.BLOCK_PX", 32)
    monkeypatch.setattr("medseg_ext.objects.label_map_files.LARGEST_LAST_LEVEL_PX", 20)
    found = found_in(stores, cells())
    folder, workshop = image_path.parent / "tiles", image_path.parent / "workshop"
    folder.mkdir(), workshop.mkdir()
    options = NAMES | {"formats": ResultFormats(formats=["ome-tiff"]), "remark": fail_on_remark}
    write_large_objects(folder, workshop, "x", found, open_block_image(image_path), **options)
    assert (folder / "x_instances.tif").read_bytes() == (folder / "x_labels.ome.tif").read_bytes()
    with tifffile.TiffFile(folder / "x_instances.tif") as file:
        levels = file.series[0].levels
        assert [level.asarray().tolist() for level in levels] == [
            found.read(WHOLE)[::step, ::step].tolist() for step in (1, 4, 16)
        ]
        assert [level.pages[0].resolution for level in levels] == [(40000, 20000), (10000, 5000), (2500, 1250)]


@pytest.mark.parametrize(("from_bytes", "is_big"), [(2 * 100 * 140, False), (2 * 100 * 140 - 1, True)])
def test_a_label_map_of_many_bytes_is_a_bigtiff(stores, image_path, monkeypatch, from_bytes, is_big):
    monkeypatch.setattr("medseg_ext.tiling.large_result_files.BIGTIFF_FROM", from_bytes)
    folder, _ = write(found_in(stores, cells()), image_path)
    assert tifffile.TiffFile(folder / "x_instances.tif").is_bigtiff is is_big
