import json
import os
from pathlib import Path

import numpy as np
import pytest
from prepare_helpers import ROOT, cut_short, hashes, load, pack, run_script, save
from run_length_codes import encode_run_length

from medseg_ext.datasets.data_set_folder import load_class_names, load_datalist
from medseg_ext.datasets.dsb2018 import prepare_dsb2018
from medseg_ext.errors import DataError

REAL_DATA = Path(os.environ.get("MEDSEG_REAL_DATA", ROOT.parent / "shared" / "data")) / "dsb2018"
HEIGHT, WIDTH = 12, 20


def draw(folder: Path, image_id: str, *, nuclei: int = 2, masks: bool = True) -> Path:
    """Draw an image of 12 rows x 20 columns whose nuclei are 2 x 3 px, one beside the other from the top left."""
    image = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    image[..., 3] = 255
    for number in range(nuclei):
        nucleus = square(number)
        image[nucleus > 0, :3] = 100 + number
        if masks:
            save(folder / image_id / "masks" / f"mask{number}.png", nucleus)
    save(folder / image_id / "images" / f"{image_id}.png", image)
    return folder / image_id


def square(number: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[1:3, 1 + 4 * number : 4 + 4 * number] = 255
    return mask


@pytest.fixture
def raw(tmp_path):
    """Draw a stage1_train of ten images, with two nuclei each, but three in the first."""
    for number in range(10):
        draw(tmp_path / "raw" / "stage1_train", f"id{number}", nuclei=3 if number == 0 else 2)
    return tmp_path / "raw"


@pytest.fixture
def unseen(tmp_path):
    """Draw a stage1_test of two images and the table of its masks."""
    lines = ["ImageId,EncodedPixels,Height,Width,Usage"]
    for image_id in ("test0", "test1"):
        draw(tmp_path / "unseen" / "stage1_test", image_id, masks=False)
        lines += [f"{image_id},{encode_run_length(square(n) > 0)},{HEIGHT},{WIDTH},Public" for n in range(2)]
    table = tmp_path / "unseen" / "stage1_solution.csv"
    table.write_text("\n".join(lines) + "\n")
    return table.parent


def ids(dataset, section):
    return [item["id"] for item in dataset[section]]


def test_labels_follow_the_order_of_mask_names_and_keep_rows_and_columns(raw, tmp_path):
    prepare_dsb2018(raw, tmp_path / "out", workers=1)
    labels = np.zeros((HEIGHT, WIDTH), np.uint16)
    for number in range(3):
        labels[square(number) > 0] = number + 1
    instances, classes, image = (load(tmp_path / "out" / key / "id0.png") for key in ("instances", "classes", "images"))
    assert np.array_equal(instances, labels)
    assert np.array_equal(classes, labels > 0)
    assert (instances.dtype, classes.dtype, image.dtype) == (np.uint16, np.uint8, np.uint8)
    assert np.array_equal(image, load(raw / "stage1_train" / "id0" / "images" / "id0.png")[..., :3])


def test_the_data_set_is_listed_and_described(raw, tmp_path):
    dataset = prepare_dsb2018(raw, tmp_path / "out", workers=1)
    assert json.loads((tmp_path / "out" / "dataset.json").read_text()) == dataset
    assert [len(load_datalist(tmp_path / "out", section)) for section in ("training", "validation", "testing")] == [
        8,
        1,
        1,
    ]
    assert load_class_names(tmp_path / "out") == ["background", "nucleus"]
    assert sum(count["objects"] for count in dataset["counts"].values()) == 21
    assert dataset["licence"] == "CC0-1.0"
    assert str(tmp_path) not in (tmp_path / "out" / "dataset.json").read_text()


@pytest.mark.parametrize("inside", ["", "stage1_train"])
def test_folder_and_archive_give_the_same_images_with_or_without_the_outer_folder(raw, tmp_path, inside):
    prepare_dsb2018(raw, tmp_path / "expected", workers=1)
    for number, source in enumerate((raw / inside, pack(raw / inside))):
        prepare_dsb2018(source, tmp_path / f"out{number}", workers=1)
        expected, found = hashes(tmp_path / "expected"), hashes(tmp_path / f"out{number}")
        del expected["dataset.json"], found["dataset.json"]  # it names the source
        assert found == expected


def test_stage1_train_is_found_beside_stage1_test(raw, tmp_path):
    draw(raw / "stage1_test", "unseen", masks=False)
    assert sum(count["images"] for count in prepare_dsb2018(raw, tmp_path / "out", workers=1)["counts"].values()) == 10


def test_the_official_test_set_becomes_testing(raw, unseen, tmp_path):
    solution = unseen / "stage1_solution.csv"
    dataset = prepare_dsb2018(raw, tmp_path / "out", test=unseen, test_solution=solution, workers=1)
    assert ids(dataset, "testing") == ["test0", "test1"]
    assert len(dataset["training"]) + len(dataset["validation"]) == 10
    assert len(dataset["validation"]) == 1
    expected = square(0) // 255 + 2 * (square(1) // 255)
    assert np.array_equal(load(tmp_path / "out" / "instances" / "test1.png"), expected)
    assert [entry["name"] for entry in dataset["preparation"]["sources"]] == ["raw", "unseen", "stage1_solution.csv"]


def test_run_lengths_and_mask_files_of_the_same_nuclei_agree(unseen, tmp_path):
    prepare_dsb2018(unseen, tmp_path / "codes", test_solution=unseen / "stage1_solution.csv", workers=1)
    for number in range(2):
        draw(tmp_path / "files", f"test{number}")
    prepare_dsb2018(tmp_path / "files", tmp_path / "masks", fractions=(0, 0, 1), workers=1)
    codes, masks = hashes(tmp_path / "codes"), hashes(tmp_path / "masks")
    assert codes.pop("dataset.json") != masks.pop("dataset.json")
    assert codes == masks


def test_a_test_set_alone_goes_to_testing(unseen, tmp_path):
    solution = unseen / "stage1_solution.csv"
    dataset = prepare_dsb2018(pack(unseen / "stage1_test"), tmp_path / "out", test_solution=solution, workers=1)
    assert ids(dataset, "testing") == ["test0", "test1"]
    assert dataset["training"] == dataset["validation"] == []


def test_images_without_nuclei_are_kept_and_ignored_ones_are_skipped(unseen, tmp_path):
    table = unseen / "stage1_solution.csv"
    table.write_text(
        f"ImageId,EncodedPixels,Height,Width,Usage\ntest0,,{HEIGHT},{WIDTH},Private\ntest1,1 1,1,1,Ignored\n"
    )
    dataset = prepare_dsb2018(unseen, tmp_path / "out", test_solution=table, workers=1)
    assert dataset["counts"]["testing"] == {"images": 1, "objects": 0}
    assert list(dataset["skipped"].values()) == [["stage1_test/test1/images/test1.png"]]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("test0,1 2,12,20\n", "test1.png has no row"),
        ("test0,1 2,12,20\ntest1,1 2,12,20\nother,1 2,12,20\n", "masks of 'other'"),
        ("test0,1 2,12,20\ntest1,1 2,20,12\n", "image 'test1' is a mask of 20 x 12 px .* 12 x 20 px"),
        ("test0,1 2,12,20\ntest1,240 2,12,20\n", "image 'test1', object 1: run '240 2' leaves the image"),
        ("test0,1 2,12,20\ntest1,1,12,20\n", "image 'test1', object 1: .* pairs"),
        ("test0,1 2,twelve,20\n", "line 2: Height and Width"),
        ("test0,1 2,12,20\ntest0,1 2,12,21\n", "line 3: image 'test0' has another size"),
    ],
)
def test_tables_that_do_not_fit_the_images_are_refused(unseen, tmp_path, table, complaint):
    solution = unseen / "stage1_solution.csv"
    solution.write_text("ImageId,EncodedPixels,Height,Width\n" + table)
    with pytest.raises(DataError, match=complaint):
        prepare_dsb2018(unseen, tmp_path / "out", test_solution=solution, workers=1)
    assert not (tmp_path / "out").exists()


def remove_masks(image: Path) -> None:
    for mask in (image / "masks").iterdir():
        mask.unlink()


def remove_picture(image: Path) -> None:
    (image / "images" / "id3.png").unlink()


def add_picture(image: Path) -> None:
    save(image / "images" / "id3.bmp", np.zeros((HEIGHT, WIDTH), np.uint8))


def replace_mask(pixels: np.ndarray):
    return lambda image: save(image / "masks" / "mask1.png", pixels)


@pytest.mark.parametrize(
    ("harm", "complaint"),
    [
        (lambda image: cut_short(image / "images" / "id3.png"), r"id3/images/id3.png .* cut short"),
        (lambda image: cut_short(image / "masks" / "mask1.png"), r"id3/masks/mask1.png .* cut short"),
        (lambda image: (image / "masks" / "mask1.png").write_bytes(b""), r"id3/masks/mask1.png .* cut short"),
        (replace_mask(square(1).T), r"id3/masks/mask1.png is a mask of 20 x 12 px .* 12 x 20 px"),
        (replace_mask(square(1) // 2), r"id3/masks/mask1.png holds the mask values \[127\]"),
        (replace_mask(square(1).astype(np.uint16)), r"id3/masks/mask1.png .* more than 8 bits"),
        (replace_mask(np.stack([square(1), square(0), square(0)], -1)), r"id3/masks/mask1.png is a mask in colour"),
        (remove_masks, r"id3/images/id3.png has no masks: .*--test-solution"),
        (remove_picture, r"id3/masks/mask0.png is a mask without an image"),
        (add_picture, r"id3/images/id3.bmp and .*id3/images/id3.png have the same id"),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "archive"])
def test_unusable_files_are_named_and_nothing_is_left(raw, tmp_path, harm, complaint, packed):
    harm(raw / "stage1_train" / "id3")
    with pytest.raises(DataError, match=complaint):
        prepare_dsb2018(pack(raw) if packed else raw, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_all_unusable_files_are_named_at_once(raw, tmp_path):
    for number in (2, 7):
        cut_short(raw / "stage1_train" / f"id{number}" / "masks" / "mask0.png")
    with pytest.raises(DataError, match=r"id2/masks/mask0.png[^\n]*\n.*id7/masks/mask0.png"):
        prepare_dsb2018(raw, tmp_path / "out", workers=2)


def test_masks_of_other_modes_are_read_alike(raw, tmp_path):
    masks = raw / "stage1_train" / "id0" / "masks"
    save(masks / "mask0.png", np.repeat(square(0)[..., None], 4, axis=2))
    save(masks / "mask1.png", np.repeat(square(1)[..., None], 3, axis=2))
    save(masks / "mask2.png", square(2) > 0)
    dataset = prepare_dsb2018(raw, tmp_path / "out", workers=1)
    assert sum(count["objects"] for count in dataset["counts"].values()) == 21


def test_empty_masks_are_skipped_and_counted(raw, tmp_path):
    save(raw / "stage1_train" / "id0" / "masks" / "mask1.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    dataset = prepare_dsb2018(raw, tmp_path / "out", workers=1)
    assert list(dataset["skipped"].values()) == [["stage1_train/id0/masks/mask1.png"]]
    assert np.unique(load(tmp_path / "out" / "instances" / "id0.png")).tolist() == [0, 1, 2]
    assert sum(count["objects"] for count in dataset["counts"].values()) == 20


def test_a_link_that_loops_lists_no_image_again_and_stands_in_the_table(raw, tmp_path):
    (raw / "stage1_train" / "again").symlink_to(raw)
    dataset = prepare_dsb2018(raw, tmp_path / "out", workers=1)
    assert sum(count["images"] for count in dataset["counts"].values()) == 10
    assert dataset["skipped"] == {"link to a folder that is read under another name": ["stage1_train/again"]}


def test_more_than_255_nuclei_keep_their_own_labels(tmp_path):
    image = tmp_path / "raw" / "crowded"
    save(image / "images" / "crowded.png", np.zeros((20, 30, 3), np.uint8))
    for number in range(300):
        mask = np.zeros((20, 30), np.uint8)
        mask.flat[2 * number] = 255
        save(image / "masks" / f"{number:03}.png", mask)
    prepare_dsb2018(tmp_path / "raw", tmp_path / "out", workers=1)
    instances = load(tmp_path / "out" / "instances" / "crowded.png")
    assert np.array_equal(instances.ravel()[::2], np.arange(1, 301))
    assert not instances.ravel()[1::2].any()


def test_ids_that_differ_only_in_case_are_refused(raw, tmp_path):
    draw(raw / "stage1_train", "ID3")
    with pytest.raises(DataError, match=r"id3.png and .*ID3.png have the ids 'id3' and 'ID3', which are one file"):
        prepare_dsb2018(raw, tmp_path / "out", workers=1)


def test_one_image_in_training_and_test_is_refused(raw, unseen, tmp_path):
    draw(raw / "stage1_train", "test0")
    solution = unseen / "stage1_solution.csv"
    with pytest.raises(DataError, match="have the same id 'test0'"):
        prepare_dsb2018(raw, tmp_path / "out", test=unseen, test_solution=solution, workers=1)


def test_the_same_source_as_training_and_test_is_refused(raw, tmp_path):
    with pytest.raises(DataError, match="have the same id"):
        prepare_dsb2018(raw, tmp_path / "out", test=raw, workers=1)


def test_a_source_of_another_layout_is_refused(tmp_path):
    save(tmp_path / "raw" / "a.png", np.zeros((4, 5), np.uint8))
    with pytest.raises(DataError, match=r"raw holds no <id>/images/<id>.png .*'a.png'"):
        prepare_dsb2018(tmp_path / "raw", tmp_path / "out")


def test_script_ends_with_a_table(raw, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image_id,group\n" + "".join(f"id{number},{number // 2}\n" for number in range(9)))
    result = run_script("prepare_dsb2018.py", raw, tmp_path / "out", "--groups", table, "--workers", 2)
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["DSB2018", "images", "objects"] in lines
    assert ["total", "10", "21"] in lines
    assert "skipped: nothing" in result.stdout
    assert "images not in the groups file, each a group by itself: 1, e.g. id9" in result.stdout
    assert "10/10" in result.stderr  # the progress bar


def test_script_ends_bad_input_with_a_message_and_exit_code_2(raw, tmp_path):
    archive = pack(raw)
    cut_short(archive)
    result = run_script("prepare_dsb2018.py", archive, tmp_path / "out")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"error: {archive} is not a ZIP archive, or is cut short")
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason="real data set is absent")
def test_twenty_real_images_are_prepared_whole(tmp_path):
    import zipfile

    with zipfile.ZipFile(REAL_DATA / "stage1_train.zip") as archive:
        names = [name for name in archive.namelist() if not name.endswith("/")]
        chosen = sorted({name.split("/")[-3] for name in names})[:20]
        archive.extractall(tmp_path, [name for name in names if name.split("/")[-3] in chosen])
    groups = REAL_DATA / "groups.csv"
    dataset = prepare_dsb2018(tmp_path / "stage1_train", tmp_path / "out", groups=groups)
    assert sum(count["images"] for count in dataset["counts"].values()) == 20
    for image_id in chosen:
        masks = len(list((tmp_path / "stage1_train" / image_id / "masks").iterdir()))
        assert load(tmp_path / "out" / "instances" / f"{image_id}.png").max() == masks
