import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from medseg_ext.cli.main import main
from medseg_ext.datasets.labelled_folder import save_labelled_image
from medseg_ext.errors import DataError
from medseg_ext.images.pixel_size import read_pixel_size_um
from medseg_ext.synthetic.scenes import nucleus_images, smears


@pytest.fixture(scope="module")
def drawn():
    pictures = nucleus_images(0)
    return [(each.image[..., :3], each.labels) for each in (next(pictures) for _ in range(3))]


def prepared(folder, target):
    """Prepare a folder by the front door; returns (instances, classes) of each image by id."""
    assert main(["prepare", str(folder), str(target), "--workers", "1"]) == 0
    sections = json.loads((target / "dataset.json").read_text())
    items = [item for name in ("training", "validation", "testing") for item in sections[name]]
    read = lambda item, key: np.asarray(Image.open(target / item[key]))  # noqa: E731
    return {item["id"]: (read(item, "instances"), read(item, "classes")) for item in items}


def assert_same_objects(found, true):
    """Whatever the numbers: a pixel's object has the same pixels in both."""
    pairs = np.unique(np.stack([found.ravel(), true.ravel()]), axis=1)
    assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]
    np.testing.assert_array_equal(found > 0, true > 0)


def test_a_preparation_takes_the_folder_as_it_is(drawn, tmp_path):
    names = ["a", "cells_2", "plate 1.well (b)"]
    for name, (image, labels) in zip(names, drawn, strict=True):
        save_labelled_image(tmp_path / "mine", name, image, labels, pixel_size_um=(0.25, 0.5))
    assert read_pixel_size_um(tmp_path / "mine" / "images" / "a.tif") == (0.25, 0.5)
    found = prepared(tmp_path / "mine", tmp_path / "data")
    assert set(found) == set(names)
    for name, (_, labels) in zip(names, drawn, strict=True):
        assert_same_objects(found[name][0], labels)


def test_cells_and_their_nuclei_come_back_as_one_object(tmp_path):
    pictures = smears(0)
    smear = {name: next(pictures) for name in "abc"}
    for name, each in smear.items():
        nuclei = np.where(each.nuclei, each.cells + 7, 0)  # numbers of their own
        save_labelled_image(tmp_path / "mine", name, each.image, each.cells, nuclei=nuclei)
    for name, (instances, classes) in prepared(tmp_path / "mine", tmp_path / "data").items():
        assert_same_objects(instances, smear[name].cells)
        np.testing.assert_array_equal(classes == 2, smear[name].nuclei)


def test_nothing_is_overwritten_unasked(drawn, tmp_path):
    image, labels = drawn[0]
    save_labelled_image(tmp_path, "a", image, labels, nuclei=labels)
    before = (tmp_path / "labels" / "a_cell.tif").read_bytes()
    with pytest.raises(DataError, match=r"a\.tif is there already"):
        save_labelled_image(tmp_path, "a", image, np.zeros_like(labels))
    assert (tmp_path / "labels" / "a_cell.tif").read_bytes() == before
    save_labelled_image(tmp_path, "a", image, labels, overwrite=True)
    assert [file.name for file in (tmp_path / "labels").iterdir()] == ["a.tif"]


@pytest.mark.parametrize("name", ["../a", "", "a/b", "a:b", ".a", "a_mask", "mask_a"])
def test_names_that_a_preparation_would_mistake_are_refused(drawn, tmp_path, name):
    image, labels = drawn[0]
    save_labelled_image(tmp_path, "a", image, labels)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError):
        save_labelled_image(tmp_path, name, image, labels)
    assert sorted(tmp_path.rglob("*")) == before


def test_objects_with_nuclei_and_without_are_kept_apart(drawn, tmp_path):
    image, labels = drawn[0]
    save_labelled_image(tmp_path, "a", image, labels)
    with pytest.raises(DataError, match="without nuclei of their own, such as a"):
        save_labelled_image(tmp_path, "b", image, labels, nuclei=labels)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda labels: labels[:-1], "of the image's size"),
        (lambda labels: labels / 2, "must be integers"),
        (lambda labels: labels - 1, "has the label -1"),
        (lambda labels: labels.astype(np.int64) << 40, "give labels from 0"),
    ],
)
def test_what_is_no_label_map_is_refused(drawn, tmp_path, change, words):
    image, labels = drawn[0]
    with pytest.raises(DataError, match=words):
        save_labelled_image(tmp_path, "a", image, change(labels))
    assert not list(tmp_path.iterdir())


def test_large_numbers_and_empty_maps_are_kept(drawn, tmp_path):
    image, labels = drawn[0]
    large = np.where(labels > 0, labels.astype(np.int64) + 10**6, 0)
    _, file = save_labelled_image(tmp_path, "a", image, large)
    np.testing.assert_array_equal(tifffile.imread(file), large)
    _, file = save_labelled_image(tmp_path, "b", image, np.zeros_like(labels))
    assert not tifffile.imread(file).any()
