import json
from itertools import islice

import numpy as np
import pytest
from label_writers import FORMATS, archive, as_polygon, features, multiscales, read_map, roi_of, tiff_beside
from prepare_helpers import pack, save
from roifile import ROI_TYPE, ImagejRoi
from skimage.segmentation import expand_labels

from medseg_ext.cli.main import main
from medseg_ext.synthetic.scenes import nucleus_images

SHAPE = (60, 80)


@pytest.fixture(scope="module")
def drawn():
    """Three images with their label maps, of nuclei that touch here and there; the first object has a hole."""
    pictures = []
    for picture in islice(nucleus_images(3), 3):
        labels = picture.labels.astype(np.int32)
        row, column = np.argwhere(labels == labels[labels > 0][0])[0]
        largest = np.bincount(labels.ravel())[1:].argmax() + 1
        row, column = np.argwhere(labels == largest).mean(axis=0).astype(int)
        if (labels[row - 1 : row + 2, column - 1 : column + 2] == largest).all():
            labels[row, column] = 0
        pictures.append((picture.image[..., :3], labels))
    return pictures


def prepare(raw, target, *words, status=0):
    assert main(["prepare", str(raw), str(target), "--workers", "1", *words]) == status
    return json.loads((target / "dataset.json").read_text()) if status == 0 else None


def refused(raw, tmp_path, capsys, *words):
    """Prepare what cannot be used; returns what is told, which is one line."""
    capsys.readouterr()
    prepare(raw, tmp_path / "refused", *words, status=2)
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1
    assert not (tmp_path / "refused").exists()
    return lines[0]


def told(dataset):
    return {reason: len(names) for reason, names in (dataset["told"] | dataset["skipped"]).items()}


def least_iou(found, true):
    """The least over all true objects of the best IoU with a found one."""
    values = []
    for label in np.unique(true[true > 0]):
        inside = true == label
        best = np.bincount(found[inside], minlength=1)[1:]
        other = found == best.argmax() + 1 if best.size else np.zeros_like(inside)
        values.append((inside & other).sum() / (inside | other).sum())
    return min(values)


def square(*boxes, shape=SHAPE):
    """A label map of rectangles, each (top, left, bottom, right)."""
    labels = np.zeros(shape, np.int32)
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = number
    return labels


def grey(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (*shape, 3), dtype=np.uint8)


BOXES = (5, 5, 15, 15), (20, 30, 32, 41), (40, 10, 52, 25)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_back_the_label_map_that_it_was_written_from(drawn, tmp_path, name):
    raw = tmp_path / "raw"
    raw.mkdir()
    for number, (image, labels) in enumerate(drawn):
        FORMATS[name](raw, f"image{number}", image, labels)
    dataset = prepare(raw, tmp_path / "out", "--fractions", "0.4", "0.3", "0.3")
    expected = sum(len(np.unique(labels)) - 1 for _, labels in drawn)
    assert dataset["labelled"] == dataset["taken"]
    assert dataset["taken"]["objects"] == expected
    assert dataset["taken"]["area_px"] == sum(int((labels > 0).sum()) for _, labels in drawn) - lost_holes(name, drawn)
    for number, (image, labels) in enumerate(drawn):
        image_id = f"image{number}{'_img' if name == 'palette' else ''}"
        found = read_map(tmp_path / "out", "instances", image_id)
        assert least_iou(found, labels) > 0.99
        assert np.array_equal(read_map(tmp_path / "out", "classes", image_id), found > 0)
        assert np.array_equal(read_map(tmp_path / "out", "images", image_id), image)
    assert (dataset["name"], dataset["licence"], dataset["origin"]) == ("raw", "not stated", "not stated")
    if name == "NPY in folders of sections":
        assert [item["id"] for item in dataset["testing"]] == ["image0"]


def lost_holes(name, drawn):
    """COCO's polygons have no holes: they are filled."""
    if name != "COCO, polygons":
        return 0
    filled = sum(int((as_mask > 0).sum()) for _, labels in drawn for as_mask in [fill(labels)])
    return sum(int((labels > 0).sum()) for _, labels in drawn) - filled


def fill(labels):
    from scipy.ndimage import binary_fill_holes

    whole = labels.copy()
    for label in np.unique(labels[labels > 0]):
        hole = binary_fill_holes(labels == label) & (labels == 0)
        whole[hole] = label
    return whole


def test_an_archive_gives_what_its_folder_gives(tmp_path):
    for number in range(3):
        FORMATS["GeoJSON"](tmp_path / "raw", str(number), grey(seed=number), square(*BOXES))
    folder = prepare(tmp_path / "raw", tmp_path / "out")
    assert prepare(pack(tmp_path / "raw"), tmp_path / "out2")["counts"] == folder["counts"]


def test_cells_and_nuclei_from_two_label_maps_are_matched_and_those_alone_are_told(tmp_path):
    cells = square((5, 5, 25, 25), (30, 30, 50, 50), (5, 50, 20, 70))
    nuclei = square((10, 10, 18, 18), (40, 43, 48, 53), (45, 5, 52, 12))  # the second for the larger part in a cell
    for number in range(2):
        save(tmp_path / "raw" / f"{number}.png", grey(seed=number))
        save(tmp_path / "raw" / f"{number}_cell.png", cells.astype(np.uint8))
        save(tmp_path / "raw" / f"{number}_nuclei_mask.png", nuclei.astype(np.uint8))
    dataset = prepare(tmp_path / "raw", tmp_path / "out")
    assert dataset["class_names"] == ["background", "cytoplasm", "nucleus"]
    assert dataset["taken"]["objects"] == 2 * 4
    assert {"cell without a nucleus: it was taken as cytoplasm alone": 2}.items() <= told(dataset).items()
    assert sum(count for reason, count in told(dataset).items() if reason.startswith("nucleus without a cell")) == 2
    instances, classes = (read_map(tmp_path / "out", key, "0") for key in ("instances", "classes"))
    assert np.array_equal(classes, np.where(nuclei > 0, 2, cells > 0))
    assert instances[12, 12] == instances[6, 6]
    assert instances[44, 52] == instances[31, 31]  # the nucleus' part outside of its cell
    alone = prepare(tmp_path / "raw", tmp_path / "nuclei", "--objects", "nucleus")
    assert alone["taken"]["objects"] == 2 * 3
    assert np.array_equal(read_map(tmp_path / "nuclei", "instances", "0") > 0, nuclei > 0)


def test_cells_and_nuclei_from_two_classes_and_from_qupaths_cells_agree_with_two_label_maps(drawn, tmp_path):
    image, nuclei = drawn[0]
    nuclei = fill(nuclei)
    cells = expand_labels(nuclei, 4)
    expected = np.where(nuclei > 0, 2, cells > 0)
    two_classes = features(cells, classification={"name": "Cell"}) + features(nuclei)
    in_one = features(cells, objectType="cell")
    for feature, nucleus in zip(in_one, features(nuclei), strict=True):
        feature["nucleusGeometry"] = nucleus["geometry"]
    for name, listed in (("two", two_classes), ("one", in_one)):
        save(tmp_path / name / "a.png", image)
        (tmp_path / name / "a.geojson").write_text(json.dumps(listed))
        dataset = prepare(tmp_path / name, tmp_path / f"{name}_out", "--fractions", "1", "0", "0")
        assert np.array_equal(read_map(tmp_path / f"{name}_out", "classes", "a"), expected)
        assert least_iou(read_map(tmp_path / f"{name}_out", "instances", "a"), cells) > 0.99
        assert dataset["object"] == "cell"


def test_other_classes_are_taken_for_nuclei_told_and_left_out_when_asked(tmp_path, capsys):
    listed = features(square(*BOXES))
    for feature, name in zip(listed, ("Tumor", "Immune", "Region*"), strict=True):
        feature["properties"]["classification"] = {"name": name}
    raw = tmp_path / "raw"
    save(raw / "a.png", grey())
    (raw / "a.geojson").write_text(json.dumps(listed))
    dataset = prepare(raw, tmp_path / "out", "--fractions", "1", "0", "0")
    assert {(each["class"], each["taken_for"]) for each in dataset["classes_of_objects"]} == {
        ("Tumor", "nucleus"),
        ("Immune", "nucleus"),
    }
    assert told(dataset)["object of the class Region*, which QuPath ignores"] == 1
    assert "1  object of the class Tumor, taken for a nucleus" in capsys.readouterr().out
    fewer = prepare(raw, tmp_path / "out2", "--leave-out", "Tumor", "--fractions", "1", "0", "0")
    assert fewer["taken"]["objects"] == 1
    assert fewer["labelled"]["objects"] == 3
    assert "'Tumour' to leave out" in refused(raw, tmp_path, capsys, "--leave-out", "Tumour")


def test_a_mask_that_numbers_no_objects_is_split_only_when_asked(tmp_path, capsys):
    for value in (1, 255):
        raw = tmp_path / str(value)
        save(raw / "a.png", grey())
        save(raw / "a_mask.png", (square(*BOXES) > 0).astype(np.uint8) * np.uint8(value))
        assert "in 3 pieces: it is a mask that does not number its objects" in refused(raw, tmp_path, capsys)
        dataset = prepare(raw, tmp_path / f"out{value}", "--binary", "components", "--fractions", "1", "0", "0")
        assert dataset["taken"]["objects"] == 3


def test_what_may_be_meant_otherwise_is_told(tmp_path, capsys):
    two_in_one = square((5, 5, 15, 15), (30, 30, 42, 41), (40, 10, 52, 25))
    two_in_one[45:52, 60:70] = 1  # another piece
    notched = square(*BOXES, (2, 50, 12, 60))
    notched[10:12, 58:61] = notched[11:21, 60:70] = 4  # two that touch
    same = grey(seed=5)
    for name, image, labels in [("a", grey(), two_in_one), ("b", same, notched), ("c", same, notched)]:
        tiff_beside(np.uint8)(tmp_path / "raw", name, image, labels)
    tiff_beside(np.uint16)(tmp_path / "raw", "empty", grey(seed=9), square())
    save(tmp_path / "raw" / "alone.png", grey(seed=8))
    save(tmp_path / "raw" / "gone_mask.png", square(*BOXES).astype(np.uint8))
    dataset = prepare(tmp_path / "raw", tmp_path / "out", "--preview")
    found = told(dataset)
    assert found.pop("object of several pieces that do not touch: two objects may share a label") == 1
    assert found.pop("object with a deep notch and larger than usual: two touching objects may share a label") == 2
    assert found.pop("image of the same pixels as another, so that it may be in training and in testing") == 1
    assert found.pop("image without objects") == 1
    assert found.pop("image without labels") == found.pop("labels without an image") == 1
    assert not found
    out = capsys.readouterr().out
    assert "c.png = b.png" in out
    assert "preview.html" in out
    page = (tmp_path / "out" / "preview.html").read_text()
    assert page.count('class="overlay"') == dataset["counts"]["training"]["images"] + sum(
        dataset["counts"][section]["images"] for section in ("validation", "testing")
    )
    assert "two touching objects may share a label" in page


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        (square(*BOXES).astype(np.float32) / 2, "no whole numbers"),
        (np.where(square(*BOXES) == 2, np.nan, square(*BOXES)).astype(np.float32), "no whole numbers"),
        (square(*BOXES).astype(np.int16) - 1, "has the value -1"),
        (square(*BOXES).astype(np.uint8) + np.uint8(1), "covers most of the image and its border"),
        (square(*BOXES, shape=(60, 81)).astype(np.uint8), "60 x 81 px .* 60 x 80 px"),
        (np.stack([square(*BOXES)] * 5).astype(np.uint16), "several pages"),
        (
            np.tile(square((0, 0, 5, 5), (6, 6, 9, 9), shape=(12, 10)), (5, 8)).astype(np.uint8),
            "classes and not objects",
        ),
    ],
)
def test_what_is_no_label_map_is_refused_with_the_reason(tmp_path, capsys, labels, complaint):
    import re

    tiff_beside(labels.dtype)(tmp_path / "raw", "a", grey(), labels)
    assert re.search(complaint, refused(tmp_path / "raw", tmp_path, capsys))


def test_files_of_labels_that_do_not_fit_are_refused_with_a_remedy(tmp_path, capsys):
    def raw(name, **files):
        save(tmp_path / name / "a.png", grey())
        for file, data in files.items():
            stem, _, suffix = file.rpartition("_")
            path = tmp_path / name / f"{stem}.{suffix}"
            path.write_bytes(data) if isinstance(data, bytes) else save(path, data)
        return tmp_path / name

    labels = square(*BOXES).astype(np.uint8)
    assert "changes values" in refused(raw("jpeg", a_mask_jpg=labels), tmp_path, capsys)
    assert "are both labels of a.png" in refused(raw("two", a_mask_png=labels, a_labels_png=labels), tmp_path, capsys)
    pickled = raw("pickled")
    np.save(pickled / "a_seg.npy", {"masks": labels}, allow_pickle=True)
    assert "Save masks as PNG" in refused(pickled, tmp_path, capsys)
    twice = raw("twice", a_mask_png=labels)
    save(twice / "a.bmp", grey())
    assert "are two images of one name" in refused(twice, tmp_path, capsys)
    assert "no ROI of ImageJ" in refused(raw("roi", a_zip=archive({"1.roi": b"Iout"})), tmp_path, capsys)
    assert "no archive of ROIs" in refused(raw("cut", a_zip=archive({"1.roi": b"Iout"})[:40]), tmp_path, capsys)
    layers = raw("official")
    save(layers / "id" / "images" / "id.png", grey())
    save(layers / "id" / "masks" / "1.png", labels)
    (layers / "a.png").unlink()
    assert "it is a label map" in refused(layers, tmp_path, capsys)


def polygon(*corners):
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [list(corners)]}, "properties": {}}


def test_hostile_outlines_are_told_or_refused(tmp_path, capsys):
    raw = tmp_path / "raw"
    save(raw / "a.png", grey())
    file = raw / "a.geojson"
    listed = [
        polygon((5, 5), (20, 5), (20, 20), (5, 20), (5, 5)),
        polygon((70, 50), (90, 50), (90, 70), (70, 70)),  # leaves the image
        polygon((500, 5), (520, 5), (520, 20)),  # outside
        polygon((30, 30), (40, 30), (50, 30)),  # no area
        polygon((30, 5), (60, 25), (60, 5), (30, 25)),  # crosses itself
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [3, 4]}},
        {"type": "Feature", "geometry": None},
    ]
    file.write_text(json.dumps({"type": "FeatureCollection", "features": listed}))
    dataset = prepare(raw, tmp_path / "out", "--fractions", "1", "0", "0")
    found = told(dataset)
    for reason in (
        "leaves the image",
        "outside of the image",
        "without an area",
        "crosses itself",
        "Point",
        "without a geo",
    ):
        assert sum(count for each, count in found.items() if reason in each) == 1, reason
    assert dataset["labelled"]["objects"] == 7
    assert dataset["taken"]["objects"] == 3
    for text, complaint in [
        (json.dumps(listed)[:80], "is no JSON, or is cut short"),
        (json.dumps([polygon((1, 2), (float("nan"), 5), (9, 9))]), "a coordinate is not finite"),
        (json.dumps([polygon((1, 2), (3, "x"), (9, 9))]), "a corner is no pair of numbers"),
        (json.dumps([polygon((1, 2), (3, 3))]), "needs 3 corners"),
        (json.dumps({"type": "FeatureCollection"}), "has no GeoJSON features"),
        (json.dumps({"features": [1]}), "has no GeoJSON features"),
    ]:
        file.write_text(text)
        assert complaint in refused(raw, tmp_path, capsys)


def test_cocos_crowds_boxes_and_missing_images_are_told_and_broken_ones_refused(tmp_path, capsys):
    raw = tmp_path / "raw"
    save(raw / "images" / "a.png", grey())
    file = raw / "a_coco.json"
    ring = as_polygon(square((5, 5, 15, 15)) > 0)
    image = {"id": 1, "file_name": "a.png", "height": 60, "width": 80}
    one = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": ring, "area": 100}

    def write(images, annotations):
        file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))

    write(
        [image, {"id": 2, "file_name": "gone.png"}],
        [one, one | {"id": 2, "iscrowd": 1}, {"id": 3, "image_id": 1}, one | {"id": 4, "area": 900}],
    )
    dataset = prepare(raw, tmp_path / "out", "--fractions", "1", "0", "0")
    for reason in ("crowd", "box alone", "is not there", "another area", "covered by others"):
        assert sum(count for each, count in told(dataset).items() if reason in each) == 1, reason
    assert dataset["labelled"]["objects"] == 4
    code = {"size": [60, 80], "counts": [10, 10]}
    for images, annotations, complaint in [
        ([image, image], [one], "the id 1 twice among its images"),
        ([image, image | {"id": 2}], [one], "the image images/a.png twice"),
        ([image], [one, one], "the id 1 twice among its annotations"),
        ([image], [one | {"image_id": 9}], "of the image 9, which it lacks"),
        ([image | {"width": 81}], [one], "60 x 81 px"),
        ([image], [one | {"segmentation": code}], "do not fill the image"),
        ([image], [one | {"segmentation": code | {"size": [6, 8]}}], "of the size [6, 8]"),
        ([image], [one | {"segmentation": [[1, 2, 3]]}], "annotation 1"),
        ([{"id": 1}], [one], "without id or file_name"),
        ([image | {"file_name": "gone.png"}], [one], "none of the images"),
    ]:
        write(images, annotations)
        assert complaint in refused(raw, tmp_path, capsys)


def test_rois_of_all_kinds_are_drawn_as_imagej_does_or_told(tmp_path):
    rings = [[(5, 5), (15, 5), (15, 15), (5, 15), (5, 5)], [(8, 8), (12, 8), (12, 12), (8, 12), (8, 8)]]
    members = {
        "composite.roi": roi_of(rings),
        "oval.roi": ImagejRoi(roitype=ROI_TYPE.OVAL, left=30, top=20, right=50, bottom=32).tobytes(),
        "rect.roi": ImagejRoi(roitype=ROI_TYPE.RECT, left=60, top=40, right=70, bottom=52).tobytes(),
        "line.roi": ImagejRoi(roitype=ROI_TYPE.LINE, x1=1, y1=1, x2=9, y2=9).tobytes(),
        "second.roi": ImagejRoi(roitype=ROI_TYPE.RECT, left=0, top=0, right=4, bottom=4, position=2).tobytes(),
    }
    save(tmp_path / "raw" / "a.png", grey())
    (tmp_path / "raw" / "RoiSet.zip").write_bytes(archive(members))
    dataset = prepare(tmp_path / "raw", tmp_path / "out", "--fractions", "1", "0", "0")
    found = read_map(tmp_path / "out", "instances", "a")
    y, x = np.mgrid[:60, :80] + 0.5
    oval = ((x - 40) / 10) ** 2 + ((y - 26) / 6) ** 2 <= 1
    composite = square((5, 5, 15, 15)) > 0
    composite[8:12, 8:12] = False
    for number, mask in enumerate((composite, oval, square((40, 60, 52, 70)) > 0), start=1):
        assert least_iou(found, number * mask.astype(np.int32)) > 0.99
    assert {"ROI of another slice or frame than the first": 1}.items() <= told(dataset).items()
    assert told(dataset)["ROI that encloses nothing (line)"] == 1


def test_an_ome_zarr_with_several_labels_or_planes_is_refused(tmp_path, capsys):
    zarr = pytest.importorskip("zarr")
    raw = tmp_path / "raw"
    FORMATS["OME-Zarr 0.4"](raw, "a", grey(), square(*BOXES))
    labels = zarr.open_group(str(raw / "a.ome.zarr" / "labels"), mode="a")
    labels.attrs["labels"] = ["nuclei", "nuclei2"]
    assert "has the labels nuclei, nuclei2: keep one" in refused(raw, tmp_path, capsys)
    labels.attrs["labels"] = ["nuclei"]
    image = zarr.open_group(str(raw / "a.ome.zarr"), mode="a")
    image.attrs.update(multiscales("zyx"))
    assert "several planes" in refused(raw, tmp_path, capsys)
    image.attrs.clear()
    assert "no multiscales" in refused(raw, tmp_path, capsys)


def test_images_of_one_name_in_folders_of_sections_keep_apart(tmp_path):
    for section in ("train", "val", "test"):
        for number in range(2):
            image = grey(seed=hash_of(section, number))
            save(tmp_path / "raw" / section / "images" / f"{number}.png", image)
            save(tmp_path / "raw" / section / "masks" / f"{number}.png", square(*BOXES).astype(np.uint8))
    dataset = prepare(tmp_path / "raw", tmp_path / "out")
    for section, folder in (("training", "train"), ("validation", "val"), ("testing", "test")):
        assert [item["id"] for item in dataset[section]] == [f"{folder}_0", f"{folder}_1"]


def hash_of(section, number):
    return {"train": 10, "val": 20, "test": 30}[section] + number


def test_another_name_for_a_finished_data_set_is_not_ignored(tmp_path, capsys):
    tiff_beside(np.uint8)(tmp_path / "raw", "a", grey(), square(*BOXES))
    prepare(tmp_path / "raw", tmp_path / "out", "--name", "One", "--fractions", "1", "0", "0")
    prepare(tmp_path / "raw", tmp_path / "out", "--name", "Two", "--fractions", "1", "0", "0", status=2)
    assert "with the name 'One' and not 'Two'" in capsys.readouterr().err


@pytest.mark.parametrize("layout", ["dsb2018", "segpc2021"])
def test_own_data_in_a_published_layout_are_not_called_as_the_published_set(tmp_path, layout):
    raw = tmp_path / "mine"
    folders = {"dsb2018": ("{0}/images/{0}.png", "{0}/masks/1.png"), "segpc2021": ("x/{0}.bmp", "y/{0}_1.bmp")}
    for number in range(3):
        for file, value in zip(folders[layout], (90, {"dsb2018": 255, "segpc2021": 20}[layout]), strict=True):
            picture = np.zeros((9, 8), np.uint8)
            picture[2:5, 2:6] = value
            save(raw / file.format(number), picture)
    assert main(["prepare", str(raw), str(tmp_path / "out"), "--workers", "1"]) == 0
    dataset = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert (dataset["name"], dataset["licence"], dataset["origin"]) == ("mine", "not stated", "not stated")
    words = ["--name", "Liver", "--licence", "CC-BY-4.0", "--workers", "1"]
    assert main(["prepare", str(raw), str(tmp_path / "out2"), *words]) == 0
    dataset = json.loads((tmp_path / "out2" / "dataset.json").read_text())
    assert (dataset["name"], dataset["licence"], dataset["origin"]) == ("Liver", "CC-BY-4.0", "not stated")
