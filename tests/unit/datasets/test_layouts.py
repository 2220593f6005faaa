import importlib
import json
import zipfile

import pytest
from bundle_settings import ROOT

from medseg_ext.cli.main import main
from medseg_ext.datasets.layouts import LAYOUTS, recognise_layout
from medseg_ext.datasets.own_data import FINDERS
from medseg_ext.errors import DataError


def make(folder, *files):
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["a/images/a.png", "a/masks/1.png"], "dsb2018"),
        (["stage1_train/a/images/a.png", "stage1_train/a/masks/1.png", "notes.txt"], "dsb2018"),
        (["x/1.bmp", "y/1_1.bmp"], "segpc2021"),
        (["train/x/1.bmp", "train/y/1_1.bmp", "validation/x/2.bmp"], "segpc2021"),
        (["a/images/other.png", "a/masks/1.png"], "dsb2018"),
        (["a.tif", "a_mask.tif"], "label_maps"),
        (["a_img.png", "a_masks.png"], "label_maps"),
        (["images/a.tif", "masks/a.tif"], "label_maps"),
        (["train/images/a.tif", "train/labels/a.png", "test/images/a.tif", "test/labels/a.png"], "label_maps"),
        (["images/train/a.tif", "labels/cells/train/a.tif", "labels/nuclei/train/a.tif"], "label_maps"),
        (["masks/a.tif", "masks/a_label.npy"], "label_maps"),
        (["a.tif", "a.geojson"], "qupath"),
        (["images/a.tif", "annotations/a.tif.geojson"], "qupath"),
        (["a.tif", "a.zip"], "imagej_rois"),
        (["a.tif", "RoiSet.zip"], "imagej_rois"),
        (["a.zarr/0/0/0", "a.zarr/labels/nuclei/0/0/0"], "ome_zarr"),
    ],
)
def test_a_layout_is_known_by_its_folders_in_a_folder_as_in_an_archive(tmp_path, files, layout):
    folder = make(tmp_path / "raw", *files)
    assert recognise_layout(folder) == layout
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for file in files:
            archive.writestr(file, b"")
    assert recognise_layout(tmp_path / "raw.zip") == layout


@pytest.mark.parametrize("files", [["a.png", "b.png"], ["a/images/a.png", "x/1.bmp"], ["images/a.png"]])
def test_folders_of_no_layout_or_of_two_are_refused_with_those_that_are_known(tmp_path, files, capsys):
    folder = make(tmp_path / "raw", *files)
    with pytest.raises(DataError, match=r"tell the layout with --layout\. Known are dsb2018: images in images/"):
        recognise_layout(folder)
    assert main(["prepare", str(folder), str(tmp_path / "out")]) == 2
    assert "--layout" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["dsb2018", "segpc2021"])
def test_prepare_gives_what_the_script_of_the_data_set_gives(sample_data_sets, tmp_path, name):
    by_script = sample_data_sets[name]
    raw = by_script.parent / "raw" / name
    words = ["--fractions", "0.6", "0.2", "0.2", "--workers", "1"]
    if name == "dsb2018":
        words += ["--groups", str(raw / "groups.csv")]
        raw = raw / "stage1_train"
    assert main(["prepare", str(raw), str(tmp_path / "prepared"), *words]) == 0
    ours, theirs = (json.loads((folder / "dataset.json").read_text()) for folder in (tmp_path / "prepared", by_script))
    assert ours == theirs


def test_an_option_of_the_other_layout_is_refused(sample_data_sets, tmp_path, capsys):
    raw = sample_data_sets["segpc2021"].parent / "raw" / "segpc2021"
    assert main(["prepare", str(raw), str(tmp_path / "out"), "--test-solution", str(ROOT / "README.md")]) == 2
    assert "--test-solution is for the layout dsb2018" in capsys.readouterr().err


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_has_its_preparation_and_every_published_one_its_script(name):
    if LAYOUTS[name].official:
        assert callable(getattr(importlib.import_module(f"medseg_ext.datasets.{name}"), f"prepare_{name}"))
        assert (ROOT / "data_scripts" / f"prepare_{name}.py").is_file()
    else:
        assert name in FINDERS
