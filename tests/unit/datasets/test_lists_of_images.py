import json
import os
import unicodedata
from pathlib import Path

import pytest
from rights import as_nobody

from medseg_ext.datasets.data_set_folder import load_class_names, load_datalist
from medseg_ext.datasets.image_list import list_images
from medseg_ext.errors import DataError
from medseg_ext.images.result_names import DONE_FILE, SUMMARY_FILE
from medseg_ext.tables import to_csv

ITEM = {"image": "images/a.png", "instances": "instances/a.png", "classes": "classes/a.png", "id": "a", "group": "1"}


@pytest.fixture
def data_set(tmp_path):
    for key in ("image", "instances", "classes"):
        (tmp_path / ITEM[key]).parent.mkdir()
        (tmp_path / ITEM[key]).touch()
    write(tmp_path, {"class_names": ["background", "nucleus"], "training": [ITEM], "validation": []})
    return tmp_path


def write(folder, content):
    (folder / "dataset.json").write_text(content if isinstance(content, str) else json.dumps(content))


def test_paths_are_absolute_wherever_the_folder_is_named_from(data_set, monkeypatch):
    monkeypatch.chdir(data_set.parent)
    for folder in (data_set, str(data_set), data_set.name):
        (item,) = load_datalist(folder, "training")
        assert item == ITEM | {key: str(data_set / ITEM[key]) for key in ("image", "instances", "classes")}


@pytest.mark.parametrize(
    ("keys", "kind"), [({"kind": "f"}, "f"), ({"cluster": "f"}, "f"), ({"kind": "f", "cluster": "a"}, "f"), ({}, None)]
)
def test_the_kind_of_an_image_is_read_as_folders_of_the_first_format_call_it_too(data_set, keys, kind):
    write(data_set, {"class_names": ["background", "nucleus"], "training": [ITEM | keys]})
    assert load_datalist(data_set, "training")[0].get("kind") == kind


@pytest.mark.parametrize(("value", "group"), [("13", "13"), (13, "13"), ("", ""), (None, "")])
def test_a_group_is_a_text_and_empty_where_there_is_none(data_set, value, group):
    item = {key: text for key, text in ITEM.items() if key != "group"} | ({} if value is None else {"group": value})
    write(data_set, {"class_names": ["background", "nucleus"], "training": [item]})
    assert load_datalist(data_set, "training")[0]["group"] == group


def test_class_names_come_in_the_order_of_their_indices(data_set):
    assert load_class_names(data_set) == ["background", "nucleus"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"training": [', "dataset.json is broken"),
        (b"\xff\xfe".decode("latin-1"), "dataset.json is broken"),
        ([], "no JSON object"),
        ({}, "has no list 'training'"),
        ({"training": {}}, "has no list 'training'"),
        ({"training": []}, "no image in its section 'training'"),
        ({"training": [{"image": "images/a.png"}]}, "training item 0 lacks a key"),
        ({"training": ["a"]}, "training item 0 lacks a key"),
    ],
)
def test_broken_descriptions_are_refused_by_file(data_set, content, complaint):
    write(data_set, content)
    with pytest.raises(DataError, match=complaint) as error:
        load_datalist(data_set, "training")
    assert "dataset.json" in str(error.value)


@pytest.mark.parametrize(
    "image_id",
    ["", ".", "..", "../../a", "/tmp/a", "a/b", "..\\a", "a\0b", "a\nb", "a\ud800", "ä" * 111, 7, None, ["a"]],
)
def test_ids_that_would_be_written_elsewhere_or_nowhere_are_refused(data_set, image_id):
    write(data_set, {"class_names": ["background", "nucleus"], "testing": [ITEM | {"id": image_id}]})
    with pytest.raises(DataError, match=r"dataset.json, testing item 0: the id .* cannot name a file") as error:
        load_datalist(data_set, "testing")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("image_id", ["a", "plate #1", ".a", "a..b", "...", "C:a", "Ä 細胞", "ä" * 110])
def test_ids_that_name_a_file_are_taken_as_they_are(data_set, image_id):
    write(data_set, {"class_names": ["background", "nucleus"], "testing": [ITEM | {"id": image_id}]})
    assert load_datalist(data_set, "testing")[0]["id"] == image_id


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a"], "item 2 and .*item 0 have the same id 'a'"),
        (["straße", "STRASSE"], "have the ids 'STRASSE' and 'straße', which are one file on macOS and Windows"),
        (["\u00e4", "a\u0308"], "which are one file on macOS and Windows"),  # ä, and a with a combining diaeresis
    ],
)
def test_ids_of_one_file_are_refused(data_set, ids, message):
    write(data_set, {"class_names": ["background", "nucleus"], "testing": [ITEM | {"id": each} for each in ids]})
    with pytest.raises(DataError, match=message):
        load_datalist(data_set, "testing")


@pytest.mark.parametrize("key", ["image", "instances", "classes"])
@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "../a.png", "images/../../a.png", "images/..", "..", "images\\a.png", "..\\a.png",
        "C:/a.png", "C:a.png", "//host/share/a.png", "images/a\0.png", "images/a\n.png", "images/a\ud800.png",
        7, None, ["images/a.png"],
    ],
)  # fmt: skip
def test_paths_that_lead_out_of_the_folder_are_refused_with_file_and_id(data_set, key, path):
    write(data_set, {"class_names": ["background", "nucleus"], "testing": [ITEM, ITEM | {"id": "b", key: path}]})
    with pytest.raises(DataError, match=rf"dataset.json, testing item 1, 'b': {key} is .*: expected a path") as error:
        load_datalist(data_set, "testing")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["images/a.png", "./images/a.png", "images/x..y.png", "a.png", "of #1/Ä 細胞.png"])
def test_paths_inside_the_folder_are_taken_as_they_are_and_links_lead_anywhere(data_set, path):
    file = data_set / path
    file.parent.mkdir(exist_ok=True)
    file.unlink(missing_ok=True)
    file.symlink_to(data_set / "instances" / "a.png")
    write(data_set, {"class_names": ["background", "nucleus"], "testing": [ITEM | {"image": path}]})
    assert load_datalist(data_set, "testing")[0]["image"] == str(file)


def test_a_name_that_no_file_can_have_is_missing(data_set):
    write(data_set, {"class_names": ["background", "nucleus"], "testing": [ITEM | {"image": "x" * 300 + ".png"}]})
    with pytest.raises(DataError, match=r"x\.png is missing"):
        load_datalist(data_set, "testing")


def test_the_first_missing_file_is_named(data_set):
    (data_set / "instances" / "a.png").unlink()
    with pytest.raises(DataError, match=r"instances/a.png is missing"):
        load_datalist(data_set, "training")


def test_sections_that_cannot_be_are_refused(data_set):
    with pytest.raises(DataError, match="training, validation, testing, not 'train'"):
        load_datalist(data_set, "train")


def test_missing_class_names_are_refused(data_set):
    write(data_set, {"training": [ITEM]})
    with pytest.raises(DataError, match="no class_names"):
        load_class_names(data_set)


def test_folders_that_are_missing_empty_or_not_prepared_name_the_scripts(tmp_path):
    raw = tmp_path / "raw"
    for message in ("is not a folder", "is empty", "is not a prepared data set"):
        with pytest.raises(DataError, match=rf"{raw} {message}.*medseg prepare"):
            load_datalist(raw, "training")
        raw.mkdir() if not raw.exists() else (raw / "image.png").touch()


def test_images_of_all_kinds_are_listed_in_order_and_what_else_there_is_is_told(tmp_path, caplog):
    names = ["b.PNG", "a.tif", "c.jpeg", "d.Jpg", "e.bmp", "f.TIFF", "g.svs", "h.ome.zarr"]
    (tmp_path / "h.ome.zarr").mkdir()
    for name in [*names[:-1], "notes.txt", "._b.png", "g.doc"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    items = list_images(tmp_path)
    assert [item["image"] for item in items] == [str(tmp_path / name) for name in sorted(names)]
    assert [item["id"] for item in items] == ["a", "b", "c", "d", "e", "f", "g", "h"]
    others, folders = caplog.messages
    assert others.startswith(f"{tmp_path}: passed over")
    assert others.endswith(": g.doc, notes.txt")
    assert folders == f"{tmp_path}: folders, not looked into: folder.png (--recursive)"


def test_of_much_that_is_passed_over_a_few_are_named_and_of_nothing_nothing(tmp_path, caplog):
    make_images(tmp_path, "a.png", ".hidden")
    list_images(tmp_path)
    assert not caplog.messages
    for number in range(8):
        (tmp_path / f"{number}.txt").touch()
    list_images([tmp_path, tmp_path / "a.png"])
    (told,) = caplog.messages
    assert told.endswith(": 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 3 more")


LABELS_OF_IMAGES = [
    "01_mask.tif",
    "01_seg.PNG",
    "02 labels.ome.tif",
    "Mask_03.png",
    "04_cp_masks.png",
    "05_mask.nii.gz",
]
IMAGES = ["01.tif", "02.tif", "03.png", "04_img.png", "05.nii.gz", "06_mask.tif", "07.png", "07_raw.png", "cells.tif"]


def test_labels_beside_their_images_are_told_and_not_segmented_but_when_they_are_named(tmp_path, caplog):
    make_images(tmp_path, *IMAGES, *LABELS_OF_IMAGES)
    assert [Path(item["image"]).name for item in list_images(tmp_path)] == sorted(IMAGES)
    (told,) = caplog.messages
    assert told.startswith(f"{tmp_path}: passed over, as they are labels of images there")
    assert told.endswith(": 01_mask.tif, 01_seg.PNG, 02 labels.ome.tif, 04_cp_masks.png, 05_mask.nii.gz and 1 more")
    assert len(list_images([tmp_path / "01_mask.tif", tmp_path / "01.tif"])) == 2


def test_labels_in_a_folder_beside_the_images_are_passed_over(tmp_path, caplog):
    for folder, name in (("images", "a.tif"), ("labels", "a.tif"), ("labels", "b.tif"), ("more/masks", "c.tif")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).touch()
    found = [Path(item["image"]).relative_to(tmp_path).as_posix() for item in list_images(tmp_path, recursive=True)]
    assert found == ["images/a.tif", "labels/b.tif", "more/masks/c.tif"]
    assert len(caplog.messages) == 1
    assert len(list_images(tmp_path / "labels")) == 2


@pytest.mark.parametrize("record", [SUMMARY_FILE, DONE_FILE])
def test_results_of_a_segmentation_are_no_images(record, tmp_path, caplog):
    results = tmp_path / "objects"
    results.mkdir()
    make_images(results, "a_instances.tif", "a_classes.png", "a_overlay.png", "a_labels.ome.tif")
    if record == SUMMARY_FILE:
        (results / record).write_bytes(
            to_csv(["image", "id", "status"], [{"image": "a.tif", "id": "a", "status": "ok"}])
        )
    else:
        (results / record).write_text('{"settings":null}\n{"row":{"id":"a"}}\n{"row":')
    with pytest.raises(DataError, match="objects holds no image but the results of an earlier segmentation"):
        list_images(results)
    with pytest.raises(DataError, match="hold no image"):
        list_images(results, recursive=True)
    assert len(list_images(results / "a_overlay.png")) == 1
    make_images(tmp_path, "a.tif")
    make_images(results, "b_overlay.png")
    caplog.clear()
    assert [item["id"] for item in list_images(tmp_path, recursive=True)] == ["a", "b_overlay"]
    (told,) = [each for each in caplog.messages if "an earlier segmentation" in each]
    assert told.endswith(": a_classes.png, a_instances.tif, a_labels.ome.tif, a_overlay.png")


def test_a_summary_of_somebody_else_takes_no_image_away(tmp_path):
    make_images(tmp_path, "a_overlay.png")
    for content in (b"id,area\na,5\n", b"\xff\xfe\x00", b""):
        (tmp_path / SUMMARY_FILE).write_bytes(content)
        assert len(list_images(tmp_path)) == 1


def test_one_image_is_a_list_of_one(tmp_path, monkeypatch):
    (tmp_path / "a.png").touch()
    monkeypatch.chdir(tmp_path)
    assert list_images("a.png") == [{"image": str(tmp_path / "a.png"), "id": "a"}]


def test_ids_are_unique_where_names_differ_only_in_suffix(tmp_path):
    for name in ("a.png", "a.tif", "a.png.tif", "b.png"):
        (tmp_path / name).touch()
    ids = {Path(item["image"]).name: item["id"] for item in list_images(tmp_path)}
    assert ids == {"a.png": "a.png", "a.tif": "a.tif", "a.png.tif": "a.png.tif", "b.png": "b"}


def test_ids_are_unique_where_case_or_the_form_of_accents_makes_no_difference(tmp_path):
    names = ["A.png", "a.png", "B.png", "b.tif", "c/X.png", "d/x.png", "Zelle\u00e9.png", "zellee\u0301.png", "a_2.png"]
    make_images(tmp_path, *names)
    ids = ids_of(tmp_path, *names)
    assert len({unicodedata.normalize("NFD", name).lower() for name in ids.values()}) == len(names)
    assert ids["A.png"] == "A"
    assert (ids["B.png"], ids["b.tif"]) == ("B.png", "b.tif")
    assert (ids["c/X.png"], ids["d/x.png"]) == ("c_X", "d_x")


def test_inputs_without_an_image_are_refused(tmp_path):
    with pytest.raises(DataError, match="none does not exist"):
        list_images(tmp_path / "none")
    with pytest.raises(DataError, match="is empty"):
        list_images(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match="holds no image"):
        list_images(tmp_path)
    with pytest.raises(DataError, match=r"notes.txt is not an image"):
        list_images(tmp_path / "notes.txt")
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").touch()
    with pytest.raises(DataError, match=r"its folders images hold some: give these"):
        list_images(tmp_path)


def make_images(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def ids_of(folder, *paths):
    return {
        str(Path(item["image"]).relative_to(folder)): item["id"]
        for item in list_images([folder / path for path in paths])
    }


def test_several_inputs_are_listed_in_their_order_and_none_twice(tmp_path):
    make_images(tmp_path, "plate/b.png", "plate/a.png", "z.tif", "c.png")
    assert ids_of(tmp_path, "z.tif", "plate", "plate/b.png", "c.png", "z.tif") == {
        "z.tif": "z",
        "plate/a.png": "a",
        "plate/b.png": "b",
        "c.png": "c",
    }


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    make_images(tmp_path, "plate1/well.tif", "plate1/only.tif", "plate2/well.tif", "plate2/well.png")
    assert ids_of(tmp_path, "plate1", "plate2/well.tif") == {
        "plate1/only.tif": "only",
        "plate1/well.tif": "plate1_well",
        "plate2/well.tif": "plate2_well",
    }
    assert set(ids_of(tmp_path, "plate1", "plate2").values()) == {
        "only",
        "plate1_well.tif",
        "plate2_well.tif",
        "plate2_well.png",
    }


def test_ids_are_unique_whatever_the_names(tmp_path):
    names = ["x/p/a.png", "y/p/a.png", "z/p/a.png", "p_a.png", "p/p_a.png_2.png", "a.png.tif", "p_a.png_2.tif"]
    make_images(tmp_path, *names)
    ids = ids_of(tmp_path, *names)
    assert len(ids) == len(set(ids.values())) == len(names)
    assert ids == ids_of(tmp_path, *names)


def test_an_empty_list_of_inputs_is_refused():
    with pytest.raises(DataError, match="empty list"):
        list_images([])


def test_each_of_several_inputs_must_hold_an_image(tmp_path):
    make_images(tmp_path, "a.png", "notes.txt")
    with pytest.raises(DataError, match=r"notes.txt is not an image"):
        list_images([tmp_path / "a.png", tmp_path / "notes.txt"])


def test_every_format_of_inference_is_listed_with_the_name_before_its_suffix(tmp_path):
    for name in ("a.nii", "b.NII.GZ", "c.dcm", "d.ome.tif", "e.gz", "IM000001"):
        (tmp_path / name).touch()
    assert [item["id"] for item in list_images(tmp_path)] == ["a", "b", "c", "d.ome"]


def test_a_file_without_a_suffix_is_an_image_when_it_is_named_itself_and_dicom(tmp_path):
    for name in ("IM000001", "1.2.840"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM")
        assert list_images(tmp_path / name) == [{"image": str(tmp_path / name), "id": name}]
    (tmp_path / "LICENSE").write_text("text")
    with pytest.raises(DataError, match="LICENSE is not an image"):
        list_images(tmp_path / "LICENSE")
    with pytest.raises(DataError, match="holds no image"):
        list_images(tmp_path)


def test_a_folder_that_may_not_be_looked_into_is_refused_with_the_remedy(tmp_path):
    make_images(tmp_path, "mine/a.png")
    (tmp_path / "mine").chmod(0)
    with as_nobody(), pytest.raises(DataError, match=r"mine cannot be read \(Permission denied\): get the right"):
        list_images(tmp_path / "mine")


def test_links_that_lead_nowhere_are_listed_so_that_people_hear_of_them(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "folder.png").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    assert [item["id"] for item in list_images(tmp_path)] == ["gone", "loop"]


def test_ids_leave_room_for_endings_and_stay_apart(tmp_path):
    for name in ("x" * 251 + ".png", "x" * 250 + ".png", "細" * 80 + ".tif", "細" * 80 + ".png"):
        (tmp_path / name).touch()
    ids = [item["id"] for item in list_images(tmp_path)]
    assert len(set(ids)) == 4
    assert max(len(f"{name}_instances.nii.gz".encode()) for name in ids) <= 255


def test_names_that_are_no_text_get_ids_that_are(tmp_path):
    for name in (b"a\xff.png", b"a\xfe.png"):
        (tmp_path / os.fsdecode(name)).touch()
    ids = [item["id"] for item in list_images(tmp_path)]
    assert len(set(ids)) == 2
    assert all(name.encode().startswith(b"a-") for name in ids)


def test_folders_inside_a_folder_are_read_when_asked_for_and_named_when_not(tmp_path):
    for name in ("plate1/a.png", "plate2/deep/b.png", "plate2/a.png", ".hidden/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "plate1" / "back").symlink_to(tmp_path)
    with pytest.raises(DataError, match=r"holds no image.*plate1, plate2 hold some.*--recursive"):
        list_images(tmp_path)
    found = list_images(tmp_path, recursive=True)
    assert [Path(item["image"]).relative_to(tmp_path).as_posix() for item in found] == [
        "plate1/a.png", "plate2/a.png", "plate2/deep/b.png",
    ]  # fmt: skip
    assert [item["id"] for item in found] == ["plate1_a", "plate2_a", "b"]


def test_an_ome_zarr_is_an_image_and_no_folder_to_look_in(tmp_path):
    (tmp_path / "plate" / "a.zarr" / "0").mkdir(parents=True)
    (tmp_path / "plate" / "a.zarr" / "0" / "0.tif").touch()
    for path in (tmp_path, tmp_path / "plate", tmp_path / "plate" / "a.zarr"):
        (item,) = list_images(path, recursive=True)
        assert item == {"image": str(tmp_path / "plate" / "a.zarr"), "id": "a"}
    with pytest.raises(DataError, match="its folders plate hold some"):
        list_images(tmp_path)
