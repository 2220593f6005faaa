import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from prepare_helpers import ROOT, cut_short, hashes, load, pack, run_script, save

from medseg_ext.datasets.data_set_folder import load_class_names
from medseg_ext.datasets.segpc2021 import WITHOUT_MASKS, prepare_segpc2021
from medseg_ext.errors import DataError

REAL_DATA = Path(os.environ.get("MEDSEG_REAL_DATA", ROOT.parent / "shared" / "data")) / "segpc2021"
HEIGHT, WIDTH = 12, 24


def cell(number: int) -> np.ndarray:
    """Draw a cell of 4 x 4 px with a nucleus of 2 x 2 px in its upper left corner."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[1:5, 1 + 5 * number : 5 + 5 * number] = 20
    mask[1:3, 1 + 5 * number : 3 + 5 * number] = 40
    return mask


def draw(part: Path, image_id: str, *, cells: int = 2, suffix: str = ".bmp") -> None:
    save(part / "x" / f"{image_id}{suffix}", np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    for number in range(cells):
        save(part / "y" / f"{image_id}_{number + 1}{suffix}", cell(number))


@pytest.fixture
def raw(tmp_path):
    """Draw a training set of ten images with two cells each."""
    for number in range(10):
        draw(tmp_path / "raw" / "train", f"{100 + number}")
    return tmp_path / "raw"


def count(dataset, key):
    return [dataset["counts"][section][key] for section in ("training", "validation", "testing")]


def test_cells_are_labelled_and_classed(raw, tmp_path):
    prepare_segpc2021(raw, tmp_path / "out", workers=1)
    instances, classes = (load(tmp_path / "out" / key / "103.png") for key in ("instances", "classes"))
    assert np.array_equal(instances, (cell(0) > 0) + 2 * (cell(1) > 0))
    assert np.array_equal(classes, (cell(0) + cell(1)) // 20)
    assert (instances.dtype, classes.dtype) == (np.uint16, np.uint8)
    assert load_class_names(tmp_path / "out") == ["background", "cytoplasm", "nucleus"]


def test_cells_are_numbered_as_numbers(raw, tmp_path):
    for number in range(1, 3):
        (raw / "train" / "y" / f"103_{number}.bmp").rename(raw / "train" / "y" / f"103_{number * 8 - 6}.bmp")
    prepare_segpc2021(raw, tmp_path / "out", workers=1)  # 103_2 stands before 103_10
    assert load(tmp_path / "out" / "instances" / "103.png")[1, 1] == 1


def test_masks_of_three_channels_are_read_like_grey_ones(raw, tmp_path):
    prepare_segpc2021(raw, tmp_path / "grey", workers=1)
    save(raw / "train" / "y" / "103_1.bmp", np.repeat(cell(0)[..., None], 3, axis=2))
    prepare_segpc2021(raw, tmp_path / "colour", workers=1)
    for key in ("instances", "classes"):
        assert np.array_equal(load(tmp_path / "grey" / key / "103.png"), load(tmp_path / "colour" / key / "103.png"))


def test_nucleus_wins_over_another_cells_cytoplasm_and_overlap_is_counted(raw, tmp_path):
    overlapping = np.roll(cell(0), 2, axis=1)
    save(raw / "train" / "y" / "103_2.bmp", overlapping)
    dataset = prepare_segpc2021(raw, tmp_path / "out", workers=1)
    instances, classes = (load(tmp_path / "out" / key / "103.png") for key in ("instances", "classes"))
    assert instances[1, 1:7].tolist() == [1, 1, 2, 2, 2, 2]  # the second nucleus lies on the first cytoplasm
    assert instances[4, 1:7].tolist() == [1, 1, 1, 1, 2, 2]  # cytoplasm on cytoplasm: the first stays
    assert classes[1, 1:7].tolist() == [2, 2, 2, 2, 1, 1]
    assert dataset["overlap_px"] == 8


def test_an_image_without_any_mask_is_skipped_and_counted(raw, tmp_path):
    draw(raw / "train", "999", cells=0)
    dataset = prepare_segpc2021(raw, tmp_path / "out", workers=1)
    assert dataset["skipped"] == {WITHOUT_MASKS: ["train/x/999.bmp"]}
    assert sum(count(dataset, "images")) == 10


def test_a_set_without_any_mask_is_refused(tmp_path):
    draw(tmp_path / "raw" / "test", "1", cells=0)
    with pytest.raises(DataError, match="raw holds no image with masks"):
        prepare_segpc2021(tmp_path / "raw", tmp_path / "out")


@pytest.mark.parametrize("layout", ["one root", "two sources", "validation named"])
def test_the_official_validation_set_becomes_testing(raw, tmp_path, layout):
    other = raw if layout == "one root" else tmp_path / "other"
    draw(other / "validation", "500")
    draw(other / "validation", "501")
    test = {"one root": None, "two sources": other, "validation named": other / "validation"}[layout]
    dataset = prepare_segpc2021(raw, tmp_path / "out", test=test, workers=1)
    assert [item["id"] for item in dataset["testing"]] == ["500", "501"]
    assert count(dataset, "images") == [9, 1, 2]


def test_the_official_validation_set_alone_goes_to_testing(tmp_path):
    draw(tmp_path / "raw" / "validation", "500")
    for number, source in enumerate((tmp_path / "raw", tmp_path / "raw" / "validation", pack(tmp_path / "raw"))):
        dataset = prepare_segpc2021(source, tmp_path / f"out{number}", workers=1)
        assert count(dataset, "images") == [0, 0, 1]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".BMP"])
def test_other_formats_are_read_alike(tmp_path, suffix):
    draw(tmp_path / "raw", "1", suffix=suffix)
    prepare_segpc2021(tmp_path / "raw", tmp_path / "out", workers=1)
    assert np.array_equal(load(tmp_path / "out" / "classes" / "1.png"), (cell(0) + cell(1)) // 20)


def test_folder_and_archive_give_the_same_images(raw, tmp_path):
    prepare_segpc2021(raw, tmp_path / "folder", workers=1)
    prepare_segpc2021(pack(raw), tmp_path / "archive", workers=1)
    folder, archive = hashes(tmp_path / "folder"), hashes(tmp_path / "archive")
    assert folder.pop("dataset.json") != archive.pop("dataset.json")  # it names the source
    assert folder == archive


def test_the_split_of_another_copy_is_taken_over(raw, tmp_path):
    small = prepare_segpc2021(raw, tmp_path / "small", seed=3, workers=1)
    for number in (100, 104, 107):
        draw(tmp_path / "full" / "train", f"{number}", cells=3)
    for number, split in enumerate((tmp_path / "small", tmp_path / "small" / "dataset.json")):
        full = prepare_segpc2021(tmp_path / "full", tmp_path / f"out{number}", splits_from=split, workers=1)
        for section in ("training", "validation", "testing"):
            assert {item["id"] for item in full[section]} <= {item["id"] for item in small[section]}
    draw(tmp_path / "full" / "train", "555")
    with pytest.raises(DataError, match="does not name the image '555'"):
        prepare_segpc2021(tmp_path / "full", tmp_path / "other", splits_from=tmp_path / "small", workers=1)
    with pytest.raises(DataError, match="none is not a folder"):
        prepare_segpc2021(tmp_path / "full", tmp_path / "other", splits_from=tmp_path / "none", workers=1)


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda train: cut_short(train / "x" / "103.bmp"), r"train/x/103.bmp .* cut short"),
        (lambda train: cut_short(train / "y" / "103_2.bmp"), r"train/y/103_2.bmp .* cut short"),
        (lambda train: save(train / "y" / "103_2.bmp", cell(1).T), r"y/103_2.bmp is a mask of 24 x 12 px .* 12 x 24"),
        (
            lambda train: save(train / "y" / "103_2.bmp", cell(1) * 2),
            r"y/103_2.bmp holds the mask values \[80\].*20, 40",
        ),
        (lambda train: save(train / "y" / "777_1.bmp", cell(1)), r"y/777_1.bmp is a mask without an image"),
        (lambda train: (train / "x" / "103.bmp").unlink(), r"y/103_1.bmp is a mask without an image"),
        (lambda train: save(train / "y" / "103.bmp", cell(1)), r"y/103.bmp is no mask name"),
        (
            lambda train: save(train / "y" / "103_02.bmp", cell(1)),
            r"103_2.bmp and .*103_02.bmp are masks of the same cell",
        ),
        (lambda train: draw(train, "103", cells=0, suffix=".png"), r"x/103.png and .*x/103.bmp have the same id"),
        (lambda train: draw(train.parent / "validation", "103"), r"103.bmp have the same id '103'"),
    ],
)
def test_unusable_files_are_named_and_nothing_is_left(raw, tmp_path, harm, complaint):
    harm(raw / "train")
    with pytest.raises(DataError, match=complaint):
        prepare_segpc2021(raw, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_a_source_of_another_layout_is_refused(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "train.zip").touch()
    with pytest.raises(DataError, match=r"raw holds no x/<id>.bmp .*'train.zip'.*must be unpacked"):
        prepare_segpc2021(tmp_path / "raw", tmp_path / "out")


def test_script_ends_with_a_table(raw, tmp_path):
    draw(raw / "train", "999", cells=0)
    result = run_script("prepare_segpc2021.py", raw, tmp_path / "out", "--fractions", 0.6, 0.2, 0.2)
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["training", "6", "12"] in lines
    assert ["total", "10", "20"] in lines
    assert f"1  {WITHOUT_MASKS}, e.g. train/x/999.bmp" in result.stdout


@pytest.mark.parametrize(
    "arguments", [("--fractions", 0.9, 0.9, 0.1), ("--groups", "none.csv"), ("--splits-from", "no")]
)
def test_script_ends_bad_options_with_a_message_and_exit_code_2(raw, tmp_path, arguments):
    result = run_script("prepare_segpc2021.py", raw, tmp_path / "out", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="real data set is absent")
def test_five_real_images_are_prepared_whole(tmp_path):
    """The set's own script expands them; it is given a copy of its folder with five images in it."""
    copy = tmp_path / "copy"
    (copy / "train_512").mkdir(parents=True)
    for name in ("expand.py", "train.json.gz"):
        shutil.copy(REAL_DATA / name, copy)
    for image in sorted((REAL_DATA / "train_512").iterdir())[:5]:
        shutil.copy(image, copy / "train_512")
    expanded = subprocess.run([sys.executable, copy / "expand.py", tmp_path / "raw"], capture_output=True, check=True)
    dataset = prepare_segpc2021(tmp_path / "raw", tmp_path / "out")
    assert sum(count(dataset, "images")) == 5
    assert f"5 images, {sum(count(dataset, 'objects'))} cell masks" in expanded.stdout.decode()
