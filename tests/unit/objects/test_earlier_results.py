"""A folder holds the results of one run's images, and of one bundle."""

import json
import os
import shutil
from pathlib import Path

import pytest

from medseg_ext.errors import DataError
from medseg_ext.images.result_names import DONE_FILE, LABEL_MAP_ENDINGS
from medseg_ext.objects.done_images import DoneImages, note_image
from medseg_ext.objects.earlier_results import earlier_ids, refuse_results_of_others, remove_results
from medseg_ext.objects.formats import FORMATS, ResultFormats
from medseg_ext.tables import to_csv


def items(*ids):
    return [{"image": f"/images/{each}.tif", "id": each} for each in ids]


@pytest.fixture
def results(tmp_path):
    """A folder with results of the images a and b."""
    (tmp_path / "summary.csv").write_bytes(to_csv(["id"], [{"id": "a"}, {"id": "b"}, {"id": "../c"}]))
    (tmp_path / "provenance_inference.json").write_text(json.dumps({"bundle": "unet", "started": "2026-01-02T03:04"}))
    for image_id in "ab":
        for label_map in LABEL_MAP_ENDINGS:
            for path in ResultFormats(label_map, FORMATS).paths(tmp_path, image_id).values():
                if path.suffix == ".zarr":
                    path.mkdir(exist_ok=True)
                    path /= "zarr.json"
                path.touch()
    return tmp_path


def test_the_same_images_and_more_may_be_done_again(results):
    assert earlier_ids(results) == ["a", "b"]  # and none that leads out of the folder
    refuse_results_of_others(results, items("a", "b", "new"), bundle="unet")


@pytest.mark.parametrize(("ids", "bundle"), [("a", "unet"), ("x", "unet"), ("ab", "segformer")])
def test_results_of_other_images_or_of_another_bundle_are_refused_with_the_remedy(results, ids, bundle):
    with pytest.raises(DataError, match=r"unet, of 2026-01-02.*--overwrite"):
        refuse_results_of_others(results, items(*ids), bundle=bundle)


def test_only_files_of_the_named_images_are_removed(results):
    remove_results(results, ["a"])
    left = {path.name.removeprefix(".").partition("_")[0] for path in Path(results).iterdir()}
    assert left == {"b", "provenance", "summary.csv"}


def test_a_folder_without_results_is_free(tmp_path):
    refuse_results_of_others(tmp_path / "none", items("a"), bundle="unet")
    (tmp_path / "summary.csv").write_bytes(b"\xff\xfe of something else")
    refuse_results_of_others(tmp_path, items("a"), bundle="unet")


PLATE = "plate #1"


def plate(folder):
    """Give the image of a folder, whose name is that of any other's."""
    return [{"image": str(folder / "A01.tif"), "id": "A01"}]


@pytest.fixture
def done(tmp_path):
    """A folder with the results of one image, and where that is."""
    (tmp_path / "out").mkdir()
    (tmp_path / PLATE).mkdir()
    (tmp_path / PLATE / "A01.tif").write_bytes(b"one")
    formats = ResultFormats(formats=())
    for path in formats.paths(tmp_path / "out", "A01").values():
        path.touch()
    notes = DoneImages(tmp_path / "out", None, formats=formats)
    notes.start()
    (item,) = plate(tmp_path / PLATE)
    notes.add(note_image(item, {"id": "A01"}, output_dir=tmp_path / "out", formats=formats))
    notes.close()
    (tmp_path / "out" / "summary.csv").write_bytes(to_csv(["id", "status"], [{"id": "A01", "status": "ok"}]))
    settings = {"dataset_dir": str(tmp_path / PLATE)}
    (tmp_path / "out" / "provenance_inference.json").write_text(json.dumps({"bundle": "unet", "settings": settings}))
    return tmp_path


def edited(folder):
    (folder / PLATE / "A01.tif").write_bytes(b"another content")
    return folder / PLATE


def moved(folder):
    return (folder / PLATE).rename(folder / "elsewhere")


def moved_and_replaced(folder):
    moved(folder)
    (folder / PLATE).mkdir()
    (folder / PLATE / "A01.tif").write_bytes(b"two")
    return folder / "elsewhere"


def copied(folder):
    (folder / "copy").mkdir()
    shutil.copy(folder / PLATE / "A01.tif", folder / "copy" / "A01.tif")
    return folder / "copy"


def linked(folder):
    (folder / "link").symlink_to(folder / PLATE)
    return folder / "link"


def spelt_otherwise(folder):
    return folder / "out" / ".." / PLATE


def without_notes(folder):
    (folder / "out" / DONE_FILE).unlink()
    return folder / PLATE


@pytest.mark.parametrize(
    "change",
    [edited, moved, moved_and_replaced, copied, linked, spelt_otherwise, without_notes],
    ids=lambda x: x.__name__,
)
def test_the_same_image_may_be_done_again_wherever_it_is_now(done, change):
    refuse_results_of_others(done / "out", plate(change(done)), bundle="unet")


def another(folder):
    (folder / "other").mkdir()
    (folder / "other" / "A01.tif").write_bytes(b"two")
    return folder / "other"


def of_the_same_size_and_time(folder):
    shutil.copystat(folder / PLATE / "A01.tif", another(folder) / "A01.tif")
    return folder / "other"


def when_the_first_is_gone(folder):
    shutil.rmtree(folder / PLATE)
    another(folder)
    os.utime(folder / "other" / "A01.tif", (1, 1))
    return folder / "other"


def another_without_notes(folder):
    without_notes(folder)
    return another(folder)


@pytest.mark.parametrize(
    "change",
    [another, of_the_same_size_and_time, when_the_first_is_gone, another_without_notes],
    ids=lambda x: x.__name__,
)
def test_another_image_of_the_same_name_is_refused_with_folder_and_remedy(done, change):
    with pytest.raises(
        DataError, match=r"out holds the results of other images of the same names with unet.*A01.*give"
    ):
        refuse_results_of_others(done / "out", plate(change(done)), bundle="unet")
    refuse_results_of_others(done / "out", plate(done / "other"), kept={"A01"}, bundle="unet")
