"""Folders of unseen and of zoomed images are data sets, whose labels lie under their images."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg_ext.datasets.data_set_folder import load_class_names, load_datalist
from medseg_ext.images.png import encode_png
from medseg_ext.images.read import read_labels

ROOT = Path(__file__).parents[2]


def run(*words):
    command = [sys.executable, str(ROOT / "tools" / "evaluation_sets.py"), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def unseen(tmp_path_factory):
    """Two laboratories: one with large squares of nuclei, one with small ones."""
    source = tmp_path_factory.mktemp("source")
    for name, side in (("large", 40), ("small", 10)):
        for folder in ("images", "instances"):
            (source / name / folder).mkdir(parents=True)
        instances = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((side, side))).astype(np.uint16)
        instances = np.pad(instances * (np.indices(instances.shape) % side < 0.8 * side).all(axis=0), 5)
        (source / name / "instances" / "p7_3.png").write_bytes(encode_png(instances))
        Image.fromarray(np.where(instances > 0, 255, 0).astype(np.uint8)).save(source / name / "images" / "p7_3.png")
    target = tmp_path_factory.mktemp("target")
    done = run("unseen", source, target)
    assert done.returncode == 0, done.stderr
    return target


def for_validation(folder, copy):
    """Copy a data set folder; its images are for validation then."""
    shutil.copytree(folder, copy)
    content = json.loads((copy / "dataset.json").read_text())
    content["validation"], content["testing"] = content["testing"], []
    (copy / "dataset.json").write_text(json.dumps(content))
    return copy


def test_unseen_images_are_for_testing_only(unseen):
    for name in ("large", "small"):
        (item,) = load_datalist(unseen / name, "testing", class_names=["background", "nucleus"])
        assert (item["id"], item["group"]) == ("p7_3", "p7")  # the third image of patient 7
        instances, classes = read_labels(item["instances"]), read_labels(item["classes"])
        assert sorted(np.unique(instances)) == list(range(10))
        assert ((classes == 1) == (instances > 0)).all()
        assert np.asarray(Image.open(item["image"])).shape == (*instances.shape, 3)


def test_zoomed_images_have_their_labels_under_them_and_no_specks(unseen, tmp_path):
    done = run("zoomed", for_validation(unseen / "large", tmp_path / "prepared"), tmp_path / "zoomed")
    assert done.returncode == 0, done.stderr
    sizes = {}
    for folder in (tmp_path / "zoomed").iterdir():
        assert load_class_names(folder) == ["background", "nucleus"]
        (item,) = load_datalist(folder, "testing")
        assert item["group"] == "p7"
        image, instances = np.asarray(Image.open(item["image"]))[:, :, 0], read_labels(item["instances"])
        assert image.shape == instances.shape
        assert ((image > 127) == (instances > 0))[~np.isin(image, (127, 128))].mean() > 0.98  # but for ties
        sizes[folder.name] = image.shape[0]
    # a nucleus is 36 pixels across: 9 at a quarter
    assert sizes == {"x0.25": 32, "x0.333": 43, "x0.5": 65, "x1": 130, "x2": 260, "x3": 390}


def test_images_whose_objects_would_be_specks_are_left_out(unseen, tmp_path):
    done = run("zoomed", for_validation(unseen / "small", tmp_path / "prepared"), tmp_path / "zoomed")
    assert "x0.5: 0 images" in done.stdout
    assert "x1: 1 images" in done.stdout


def test_a_kind_that_is_left_out_is_tested_and_not_trained_on(unseen, tmp_path):
    folder = tmp_path / "prepared"
    shutil.copytree(unseen / "large", folder)
    content = json.loads((folder / "dataset.json").read_text())
    (item,) = content["testing"]
    ids = {"training": ["t1", "t2"], "validation": ["v1", "v2"], "testing": ["e1", "e2"]}
    for section, names in ids.items():
        content[section] = [item | {"id": name, "kind": kind} for name, kind in zip(names, "ab", strict=True)]
    (folder / "dataset.json").write_text(json.dumps(content))
    done = run("left_out", folder, tmp_path / "left_out")
    assert done.returncode == 0, done.stderr
    found = {
        (kind, section): [entry["id"] for entry in load_datalist(tmp_path / "left_out" / kind, section)]
        for kind in "ab"
        for section in ids
    }
    assert found == {
        ("a", "training"): ["t2"],
        ("a", "validation"): ["v2"],
        ("a", "testing"): ["t1", "v1", "e1"],
        ("b", "training"): ["t1"],
        ("b", "validation"): ["v1"],
        ("b", "testing"): ["t2", "v2", "e2"],
    }


def test_kinds_that_nobody_told_are_refused(unseen, tmp_path):
    done = run("left_out", unseen / "large", tmp_path / "left_out")
    assert done.returncode == 1
    assert "does not tell two kinds of microscopy apart" in done.stderr


def test_a_folder_without_images_is_refused(tmp_path):
    done = run("unseen", tmp_path, tmp_path / "target")
    assert done.returncode == 1
    assert "has no folder with images" in done.stderr
