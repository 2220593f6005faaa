"""A folder holds the results of one run's images, and of one bundle."""

import json
from pathlib import Path

import pytest

from medseg_ext.errors import DataError
from medseg_ext.objects.earlier_results import earlier_ids, refuse_results_of_others, remove_results
from medseg_ext.objects.formats import FORMATS, LABEL_MAP_ENDINGS, ResultFormats
from medseg_ext.tables import to_csv


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
    refuse_results_of_others(results, {"a", "b", "new"}, bundle="unet")


@pytest.mark.parametrize(("ids", "bundle"), [({"a"}, "unet"), ({"x"}, "unet"), ({"a", "b"}, "segformer")])
def test_results_of_other_images_or_of_another_bundle_are_refused_with_the_remedy(results, ids, bundle):
    with pytest.raises(DataError, match=r"unet, of 2026-01-02.*--overwrite"):
        refuse_results_of_others(results, ids, bundle=bundle)


def test_only_files_of_the_named_images_are_removed(results):
    remove_results(results, ["a"])
    left = {path.name.removeprefix(".").partition("_")[0] for path in Path(results).iterdir()}
    assert left == {"b", "provenance", "summary.csv"}


def test_a_folder_without_results_is_free(tmp_path):
    refuse_results_of_others(tmp_path / "none", {"a"}, bundle="unet")
    (tmp_path / "summary.csv").write_bytes(b"\xff\xfe of something else")
    refuse_results_of_others(tmp_path, {"a"}, bundle="unet")
