"""What is written in a format is read back as the very objects, by the format's own library and by a preparation."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from pycocotools import mask as coco_masks
from pycocotools.coco import COCO
from roifile import ROI_TYPE, ImagejRoi

from medseg_ext.cli.main import main
from medseg_ext.errors import DataError
from medseg_ext.objects.coco import COCO_FILE, join_parts, run_lengths
from medseg_ext.objects.formats import FORMATS, ResultFormats, coco_part
from medseg_ext.objects.imagej_rois import RoiArchive
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.outlined import OutlinedObject, outline_polygons
from medseg_ext.objects.result_files import write_objects

NAMES = {"class_names": ["background", "nucleus"], "object_name": "nucleus"}
SHAPE = (90, 130)


def nuclei(seed=0):
    """Discs, of which some overlap, one with a hole, one of two pieces, and some cut off by the border."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    labels = np.zeros(SHAPE, np.int32)
    for number in range(1, 13):
        row, column = rng.uniform(0, SHAPE[0]), rng.uniform(0, SHAPE[1])
        distance = np.hypot(rows - row, (columns - column) * 0.8)
        labels[distance < rng.uniform(6, 12)] = number
    distance = np.hypot(rows - 45, columns - 60)
    labels[(distance < 14) & (distance > 5)] = 13
    labels[2:8, 100:110] = labels[12:16, 112:120] = 14
    return np.searchsorted(np.unique(labels), labels).astype(np.int32)


def write(folder, name, labels, formats=FORMATS, **options):
    folder.mkdir(exist_ok=True)
    scores = torch.linspace(0.5, 0.9, int(labels.max()))
    objects = Objects(torch.from_numpy(labels[None]), torch.from_numpy(np.uint8(labels[None] > 0)), scores)
    files = ResultFormats(formats=formats)
    write_objects(folder, name, objects, np.zeros((*labels.shape, 3)), formats=files, **NAMES, **options)


def same_objects(found, expected):
    """Say whether two label maps have the same objects, whatever their numbers."""
    pairs = np.unique(np.stack([found.ravel(), expected.ravel()]), axis=1)
    return len(pairs[0]) == len(np.unique(found)) == len(np.unique(expected)) and (pairs[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("kind", "ending"),
    [("roi", "_rois.zip"), ("geojson", "_objects.geojson"), ("geojson", "_objects.geojson.gz"), ("coco", None)],
)
def test_a_preparation_reads_the_very_objects_back(tmp_path, kind, ending):
    raw = tmp_path / "raw"
    (raw / "images").mkdir(parents=True)
    truth = {f"a{seed}": nuclei(seed) for seed in range(3)}
    for name, labels in truth.items():
        path = raw / "images" / f"{name}.png"
        Image.fromarray(np.uint8(labels > 0) * 200 + np.uint8(labels)).save(path)
        write(tmp_path / "out", name, labels, source=path)
    if kind == "coco":
        parts = [coco_part(tmp_path / "out", name) for name in truth]
        join_parts(tmp_path / "out", parts, object_name="nucleus").rename(raw / "instances.json")
    else:
        (raw / "labels").mkdir()
        for name in truth:
            (tmp_path / "out" / f"{name}{ending}").rename(raw / "labels" / f"{name}{ending}")
    assert main(["prepare", str(raw), str(tmp_path / "set")]) == 0
    found = {path.stem: np.asarray(Image.open(path)) for path in (tmp_path / "set" / "instances").iterdir()}
    assert len(found) == len(truth)
    for name, labels in truth.items():
        (key,) = [key for key in found if name in key]
        assert same_objects(found[key], labels)


def test_ome_labels_tell_the_pixel_size_and_are_read_back_by_a_preparation(tmp_path):
    raw, labels = tmp_path / "raw", nuclei()
    raw.mkdir()
    write(raw, "Größe", labels, ["ome-tiff"], pixel_size_um=(0.5, 0.25))
    with tifffile.TiffFile(raw / "Größe_labels.ome.tif") as file:
        assert (file.asarray() == labels).all()
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeY"], pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (0.5, 0.25, "µm")
    before = (raw / "Größe_labels.ome.tif").read_bytes()
    write(raw, "Größe", labels, ["ome-tiff"], pixel_size_um=(0.5, 0.25))
    assert (raw / "Größe_labels.ome.tif").read_bytes() == before
    (raw / "Größe_instances.tif").unlink()
    Image.fromarray(np.uint8(labels > 0) * 200).save(raw / "Größe.png")
    assert main(["prepare", str(raw), str(tmp_path / "set"), "--layout", "label_maps"]) == 0
    (found,) = (tmp_path / "set" / "instances").iterdir()
    assert same_objects(np.asarray(Image.open(found)), labels)


def test_pycocotools_reads_the_very_masks_areas_boxes_and_scores(tmp_path):
    truth = {"b": nuclei(3), "a": nuclei(4)}
    for name, labels in truth.items():
        write(tmp_path, name, labels, ["coco"], source=f"/images/{name}.png")
    path = join_parts(tmp_path, [coco_part(tmp_path, name) for name in truth], object_name="nucleus")
    coco = COCO(str(path))
    assert [(each["id"], each["name"]) for each in coco.loadCats(coco.getCatIds())] == [(1, "nucleus")]
    for image in coco.loadImgs(coco.getImgIds()):
        labels = truth[Path(image["file_name"]).stem]
        assert (image["height"], image["width"]) == SHAPE
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        assert [each["label"] for each in annotations] == [*range(1, labels.max() + 1)]
        for each in annotations:
            mask = labels == each["label"]
            assert (coco.annToMask(each) == mask).all()
            assert each["area"] == mask.sum()
            assert each["bbox"] == coco_masks.toBbox(coco.annToRLE(each)).tolist()
            assert 0.5 <= each["score"] <= 0.9


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for name, source in {"a": "/data/plate 1/x.png", "b": "/data/plate 2/x.png"}.items():
        write(tmp_path, name, nuclei(), ["coco"], source=source)
    path = join_parts(tmp_path, [coco_part(tmp_path, name) for name in "ab"], object_name="nucleus")
    assert [each["file_name"] for each in json.loads(path.read_text())["images"]] == ["plate 1/x.png", "plate 2/x.png"]


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_are_those_of_pycocotools(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 9)) < rng.uniform(0.2, 1)
    mask[0, 0] |= seed == 3  # from the first pixel on
    mask[-1] |= seed == 4  # columns whose runs go on in the next one
    mask[0] |= seed == 4
    rings = [ring for rings in outline_polygons(mask.astype(np.int32))[1] for ring in rings]
    counts = run_lengths(rings, mask.shape)
    code = coco_masks.frPyObjects({"size": list(mask.shape), "counts": counts.tolist()}, *mask.shape)
    assert code == coco_masks.encode(np.asfortranarray(mask.astype(np.uint8)))


def roi_of(rings):
    content = io.BytesIO()
    archive = RoiArchive(content)
    archive.add(OutlinedObject({"id": 7}, [rings]))
    archive.close()
    with zipfile.ZipFile(content) as file:
        assert file.namelist() == ["7.roi"]
        return ImagejRoi.frombytes(file.read("7.roi"))


def comb(teeth):
    """Outline of a comb, of four corners a tooth."""
    upper = [corner for x in range(0, 2 * teeth, 2) for corner in ((x, 0), (x, 5), (x + 1, 5), (x + 1, 0))]
    return [*upper, (2 * teeth - 1, -1), (0, -1), (0, 0)]


@pytest.mark.parametrize("teeth", [3, 16_000, 20_000])  # the last one of more than 65,535 corners and wider than 32,767
@pytest.mark.parametrize("shift", [1, 40_000, 3_000_000])
def test_a_roi_has_its_number_for_a_name_and_its_exact_corners_however_many_and_far(teeth, shift):
    ring = [(x + shift, y + 1) for x, y in comb(teeth)]
    roi = roi_of([ring])
    assert (roi.name, roi.roitype) == ("7", ROI_TYPE.TRACED)
    assert roi.coordinates().tolist() == [list(corner) for corner in ring[:-1]]


def test_a_hole_of_a_roi_is_a_ring_of_its_composite():
    square = [(0, 0), (0, 9), (9, 9), (9, 0), (0, 0)]
    hole = [(3, 3), (6, 3), (6, 6), (3, 6), (3, 3)]
    roi = roi_of([square, hole])
    assert roi.composite
    assert roi.name == "7"
    assert [ring.tolist() for ring in roi.coordinates(multi=True)] == [[list(c) for c in r] for r in (square, hole)]


def test_only_the_files_that_are_wanted_are_written(tmp_path):
    write(tmp_path / "none", "a", nuclei(), [])
    assert [path.name for path in (tmp_path / "none").iterdir()] == ["a_instances.tif"]
    write(tmp_path / "two", "a", nuclei(), ["roi", "csv"])
    names = {path.name for path in (tmp_path / "two").iterdir()}
    assert names == {"a_instances.tif", "a_rois.zip", "a_objects.csv"}


@pytest.mark.parametrize("formats", [["png"], ["csv", "nifti"]])
def test_an_unknown_format_is_refused_with_those_known(formats):
    with pytest.raises(DataError, match=f"formats must be of classes, .*, got '{formats[-1]}'"):
        ResultFormats(formats=formats)


def test_an_image_without_objects_has_files_that_read(tmp_path):
    write(tmp_path, "a", np.zeros(SHAPE, np.int32))
    path = join_parts(tmp_path, [coco_part(tmp_path, "a")], object_name="nucleus")
    assert path.name == COCO_FILE
    assert json.loads(path.read_text())["annotations"] == []
    assert json.loads((tmp_path / "a_objects.geojson").read_text())["features"] == []
    assert zipfile.ZipFile(tmp_path / "a_rois.zip").namelist() == []
