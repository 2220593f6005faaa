"""`medseg check`: each fault that is put into the drawn sample is found, and nothing else is."""

import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage
from skimage.segmentation import expand_labels

from medseg_ext.cli.main import main
from medseg_ext.datasets.check import check_data_set
from medseg_ext.datasets.findings import findings_csv
from medseg_ext.images.fingerprints import candidate_pairs, fingerprint


class DataSet:
    """A data set folder into which faults are put."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.content = json.loads((folder / "dataset.json").read_text())

    def items(self, section: str) -> list[dict]:
        return self.content[section]

    def read(self, item: dict, key: str) -> np.ndarray:
        return np.array(Image.open(self.folder / item[key]))

    def write(self, item: dict, key: str, pixels: np.ndarray) -> None:
        Image.fromarray(pixels).save(self.folder / item[key])

    def write_labels(self, item: dict, labels: np.ndarray) -> None:
        self.write(item, "instances", labels.astype(np.uint16))
        self.write(item, "classes", (labels > 0).astype(np.uint8))

    def save(self) -> None:
        (self.folder / "dataset.json").write_text(json.dumps(self.content))

    def found(self) -> dict[str, tuple[str, list[tuple[str, ...]]]]:
        findings = check_data_set(self.folder, workers=1).findings
        return {each.problem: (each.gravity, [case.ids for case in each.cases]) for each in findings}


@pytest.fixture(params=["dsb2018", "segpc2021"])
def data(request, sample_data_sets, tmp_path) -> DataSet:
    shutil.copytree(sample_data_sets[request.param], tmp_path / "data")
    return DataSet(tmp_path / "data")


@pytest.fixture
def nuclei(sample_data_sets, tmp_path) -> DataSet:
    shutil.copytree(sample_data_sets["dsb2018"], tmp_path / "data")
    return DataSet(tmp_path / "data")


def test_the_untouched_sample_has_no_findings(data, capsys):
    assert data.found() == {}
    assert main(["check", str(data.folder), "--workers", "1"]) == 0
    assert "nothing found" in capsys.readouterr().out


TURNS: list[Callable[[np.ndarray], np.ndarray]] = [
    lambda image: image,
    lambda image: np.rot90(image),
    lambda image: image[::-1],
    lambda image: np.rot90(image)[:, ::-1],
]


@pytest.mark.parametrize("turn", TURNS)
def test_one_image_in_two_splits_is_grave_however_it_is_turned(nuclei, turn):
    source, target = nuclei.items("training")[0], nuclei.items("testing")[0]
    for key in ("image", "instances", "classes"):
        nuclei.write(target, key, np.ascontiguousarray(turn(nuclei.read(source, key))))
    assert nuclei.found() == {
        "one image in two splits, pixel for pixel": ("grave", [(source["id"], target["id"])]),
    }


def _as_jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=60)
    return Image.open(file)


def _with_noise(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image).astype(float)
    noise = np.random.default_rng(0).normal(0, 0.1 * pixels.std(), pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "saved as JPEG": _as_jpeg,
    "smaller": lambda image: image.resize((image.width * 2 // 3, image.height * 2 // 3)),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "with noise": _with_noise,
    "cut at its border": lambda image: image.crop((4, 3, image.width - 2, image.height - 4)),
    "mirrored and smaller": lambda image: image.transpose(Image.Transpose.TRANSVERSE).resize((200, 200)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nearly_one_image_in_two_splits_is_grave(data, change):
    source, target = data.items("training")[1], data.items("testing")[0]
    changed = CHANGES[change](Image.open(data.folder / source["image"]))
    changed.convert("RGB").save(data.folder / target["image"])
    size = changed.height, changed.width
    data.write_labels(target, np.zeros(size))
    found = data.found()
    assert found["nearly one image in two splits"] == ("grave", [(source["id"], target["id"])])
    assert found.keys() == {"nearly one image in two splits", "images without objects"}


def test_one_image_twice_in_a_split_is_to_be_looked_at(data):
    source, target = data.items("training")[:2]
    for key in ("image", "instances", "classes"):
        shutil.copy(data.folder / source[key], data.folder / target[key])
    assert data.found() == {
        "one image twice in a split, pixel for pixel": ("look", [(source["id"], target["id"])]),
    }


@pytest.mark.parametrize("shift", [(0, 9), (-12, 5), (20, 20)])
def test_shifted_labels_are_found_with_their_shift(nuclei, shift):
    item = max(nuclei.items("training"), key=lambda each: len(np.unique(nuclei.read(each, "instances"))))
    labels = np.roll(nuclei.read(item, "instances"), shift, axis=(0, 1))
    nuclei.write_labels(item, labels)
    finding = next(
        each for each in check_data_set(nuclei.folder, workers=1).findings if each.problem.startswith("labels that are")
    )
    assert finding.gravity == "grave"
    assert [case.ids for case in finding.cases] == [(item["id"],)]
    rows, columns = map(int, re.findall(r"-?\d+", finding.cases[0].detail))
    assert np.hypot(rows - shift[0], columns - shift[1]) <= 2


def test_mirrored_labels_and_those_of_another_image_are_found(nuclei):
    mirrored, other = sorted(
        nuclei.items("training"), key=lambda each: -len(np.unique(nuclei.read(each, "instances")))
    )[:2]
    nuclei.write_labels(mirrored, nuclei.read(mirrored, "instances")[::-1])
    labels = nuclei.read(nuclei.items("testing")[0], "instances")
    height, width = nuclei.read(other, "instances").shape
    nuclei.write_labels(other, np.resize(np.tile(labels, (4, 4))[:height, :width], (height, width)))
    found = nuclei.found()
    assert found["labels that are turned or mirrored against their image"] == ("grave", [(mirrored["id"],)])
    assert any((other["id"],) in cases for problem, (_, cases) in found.items() if problem.startswith("labels that"))


def test_a_complement_is_grave(data):
    item = data.items("training")[2]
    labels = data.read(item, "instances")
    data.write_labels(item, np.where(labels == labels.max(), 0, 1))
    assert data.found()["an object that is the background, or a complement"] == ("grave", [(item["id"],)])


def test_objects_of_two_pixels_are_found(data):
    item = data.items("training")[2]
    labels = data.read(item, "instances").astype(np.int32)
    inner = ndimage.distance_transform_edt(np.pad(labels[1:-1, 1:-1] == 0, 1))
    row, column = np.argwhere(inner > 4)[0]
    labels[row, column : column + 2] = labels.max() + 1
    data.write(item, "instances", labels.astype(np.uint16))
    classes = data.read(item, "classes")
    classes[labels == labels.max()] = 1
    data.write(item, "classes", classes)
    assert data.found() == {"objects of a few pixels": ("look", [(item["id"],)])}


def test_labels_of_single_pixels_are_found_though_all_are(nuclei):
    item = nuclei.items("training")[2]
    for each in (*nuclei.items("training"), *nuclei.items("validation"), *nuclei.items("testing")):
        labels = np.zeros_like(nuclei.read(each, "instances"))
        labels[1:-1:4, 1:-1:4] = np.arange(1, labels[1:-1:4, 1:-1:4].size + 1).reshape(labels[1:-1:4, 1:-1:4].shape)
        nuclei.write_labels(each, labels)
    nuclei.write_labels(item, nuclei.read(item, "image")[..., 1].astype(int) + 1)
    found = nuclei.found()
    gravity, cases = found["labels that lie scattered, as the values of a photograph, and are no objects"]
    assert (gravity, cases) == ("grave", [(item["id"],)])
    n_images = sum(len(nuclei.items(section)) for section in ("training", "validation", "testing"))
    assert len(found["objects of a few pixels"][1]) >= n_images - 1


def test_what_the_border_leaves_of_an_object_is_no_fault(data):
    item = data.items("training")[2]
    labels = data.read(item, "instances").astype(np.int32)
    labels[:4, :40] = 0
    labels[0, 10:12] = 60000
    labels[0, 20], labels[:12, 30], labels[:12, 24] = 0, 60001, 60001
    data.write_labels(item, labels)
    assert not {problem for problem in data.found() if problem.startswith("objects")}


def test_images_of_one_nucleus_each_are_not_one_image(nuclei):
    rows, columns = np.indices((300, 300))
    for item, (row, width) in zip(nuclei.items("training"), ((150, 20), (152, 26), (148, 22)), strict=False):
        labels = ((rows - row) / 14) ** 2 + ((columns - 150) / width) ** 2 < 1
        noise = np.random.default_rng(row).normal(0, 2, labels.shape)
        grey = ndimage.gaussian_filter(labels * 90.0, 2) + 20 + noise
        nuclei.write(item, "image", np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2))
        nuclei.write_labels(item, labels)
    assert nuclei.found() == {}


def test_one_number_of_two_objects_apart_is_found(nuclei):
    item = nuclei.items("training")[0]
    labels = nuclei.read(item, "instances")
    apart = [number for number in np.unique(labels)[1:] if (labels == number).sum() > 100][:2]
    nuclei.write_labels(item, np.where(labels == apart[1], apart[0], labels))
    assert nuclei.found() == {
        "objects in several separate pieces under one number": ("look", [(item["id"],)]),
    }


def test_one_number_of_two_discs_that_touch_is_found(nuclei):
    item = nuclei.items("training")[0]
    labels = nuclei.read(item, "instances").astype(np.int32)
    rows, columns = np.indices(labels.shape)
    radius = 1.1 * np.sqrt(np.median(np.bincount(labels.ravel())[1:]) / np.pi)
    centre = np.array(labels.shape) // 2
    discs = [np.hypot(rows - centre[0], columns - centre[1] - side * 0.95 * radius) < radius for side in (-1, 1)]
    labels[np.isin(labels, labels[expand_labels((discs[0] | discs[1]).astype(int), 3) > 0])] = 0
    labels[discs[0] | discs[1]] = 60000
    nuclei.write_labels(item, labels)
    found = nuclei.found()
    assert found["objects that look like two that touch, under one number"] == ("look", [(item["id"],)])


def test_other_sizes_and_files_that_are_missing_are_grave(data):
    missing, smaller, broken = data.items("training")[:3]
    (data.folder / missing["instances"]).unlink()
    data.write(smaller, "instances", data.read(smaller, "instances")[:-1])
    (data.folder / broken["image"]).write_bytes(b"no image")
    found = data.found()
    assert found["labels of another size than their image"] == ("grave", [(smaller["id"],)])
    assert found["files that are missing or cannot be read"] == ("grave", [(missing["id"],), (broken["id"],)])


def test_a_group_in_two_splits_is_grave(data):
    one, other = data.items("training")[0], data.items("testing")[0]
    one["group"] = other["group"] = "slide 7"
    data.save()
    assert data.found() == {"a group in two splits": ("grave", [(one["id"], other["id"])])}


def test_names_that_suggest_groups_are_told_where_there_are_none(data):
    number = 0
    for section in ("training", "validation", "testing"):
        for item in data.items(section):
            item["id"] = f"patient{number % 2}_{number}"
            del item["group"]
            number += 1
    data.save()
    (problem,) = data.found()
    assert problem.startswith("names suggest groups")


def test_the_page_shows_every_problem_and_the_csv_every_case(data, tmp_path, capsys):
    source, smaller, without = data.items("training")[:3]
    for key in ("image", "instances", "classes"):
        shutil.copy(data.folder / source[key], data.folder / data.items("testing")[0][key])
    data.write(smaller, "instances", data.read(smaller, "instances")[:-1])
    data.write_labels(without, np.zeros(data.read(without, "instances").shape))
    assert main(["check", str(data.folder), "--workers", "1", "--output", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().out
    page = (tmp_path / "out" / "check.html").read_text()
    found = check_data_set(data.folder, workers=1)
    assert len(found.findings) == 3
    for finding in found.findings:
        assert finding.problem in told
        assert finding.problem in page
    assert page.count("data:image/jpeg") == 4
    assert (tmp_path / "out" / "check.csv").read_bytes() == findings_csv(found)


def test_the_images_that_are_compared_by_pixels_stay_few():
    rng = np.random.default_rng(0)
    prints = []
    for _ in range(3000):
        small = rng.normal(size=(24, 24, 1)).repeat(3, axis=2)
        smooth = ndimage.gaussian_filter(small, (2, 2, 0))
        prints.append(fingerprint(np.clip(128 + 200 * smooth, 0, 255).astype(np.uint8)))
    assert len(list(candidate_pairs(prints))) < 300
