"""No mask is left out in silence, and none is taken inside out."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from prepare_helpers import load, save

from medseg_ext.datasets.dsb2018 import prepare_dsb2018
from medseg_ext.datasets.segpc2021 import prepare_segpc2021
from medseg_ext.errors import DataError

HEIGHT, WIDTH = 12, 20


def nucleus(number: int) -> np.ndarray:
    """2 x 3 px, the first in the upper left corner, so that it touches the border."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[0:2, 4 * number : 4 * number + 3] = 255
    return mask


def cell(number: int) -> np.ndarray:
    mask = nucleus(number) // 255 * 20
    mask[0] *= 2
    return mask


@pytest.fixture
def image(tmp_path) -> Path:
    """Folder of an image without masks yet, in a source of its own."""
    folder = tmp_path / "raw" / "id0"
    save(folder / "images" / "id0.png", np.full((HEIGHT, WIDTH, 3), 7, np.uint8))
    (folder / "masks").mkdir()
    return folder


def prepared(image: Path) -> tuple[dict, np.ndarray]:
    target = image.parents[1] / "out"
    dataset = prepare_dsb2018(image.parent, target, workers=1, fractions=(1, 0, 0))
    return dataset, load(target / "instances" / "id0.png")


def expected(count: int) -> np.ndarray:
    return sum((nucleus(number) // 255).astype(np.uint16) * (number + 1) for number in range(count))


def as_imagej_tiff(path: Path, mask: np.ndarray) -> None:
    """Objects 255, white zero: shown black on white."""
    tifffile.imwrite(path.with_suffix(".tif"), mask, photometric="miniswhite")


def as_imagej_palette(path: Path, mask: np.ndarray, suffix: str = ".png") -> None:
    indexed = Image.fromarray(mask).convert("P")
    indexed.putpalette([255 - value for value in range(256) for _ in range(3)])
    indexed.save(path.with_suffix(suffix), **({"optimize": False} if suffix == ".gif" else {}))


def as_shown_tiff(path: Path, mask: np.ndarray) -> None:
    """White is zero, too, but objects are shown white."""
    tifffile.imwrite(path.with_suffix(".tif"), ~mask, photometric="miniswhite")


@pytest.mark.parametrize("suffix", [".png", ".gif", ".bmp", ".tif", ".TIFF", ".webp", ".pgm"])
def test_masks_of_every_suffix_are_taken(image, suffix):
    for number in range(4):
        path = image / "masks" / f"{number}{suffix if number % 2 else '.png'}"
        Image.fromarray(nucleus(number)).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    dataset, instances = prepared(image)
    np.testing.assert_array_equal(instances, expected(4))
    assert dataset["skipped"] == {}


@pytest.mark.parametrize("save_as", [as_imagej_tiff, as_imagej_palette, as_shown_tiff])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_masks_whose_white_is_zero_hold_the_nuclei_whichever_way_they_are_meant(image, save_as, count):
    for number in range(count):
        save_as(image / "masks" / f"{number}", nucleus(number))
    np.testing.assert_array_equal(prepared(image)[1], expected(count))


@pytest.mark.parametrize("suffix", [".gif", ".bmp"])
def test_palettes_of_other_formats_are_read_alike(image, suffix):
    for number in range(3):
        as_imagej_palette(image / "masks" / f"{number}", nucleus(number), suffix)
    np.testing.assert_array_equal(prepared(image)[1], expected(3))


def test_an_empty_mask_whose_white_is_zero_is_empty(image):
    as_imagej_tiff(image / "masks" / "0", np.zeros((HEIGHT, WIDTH), np.uint8))
    dataset, instances = prepared(image)
    assert not instances.any()
    assert [count["objects"] for count in dataset["counts"].values()] == [0, 0, 0]


def test_cells_of_three_values_whose_white_is_zero_are_read(tmp_path):
    save(tmp_path / "raw" / "x" / "1.bmp", np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    for number in range(2):
        (tmp_path / "raw" / "y").mkdir(exist_ok=True)
        as_imagej_tiff(tmp_path / "raw" / "y" / f"1_{number + 1}", cell(number))
    prepare_segpc2021(tmp_path / "raw", tmp_path / "out", workers=1, fractions=(1, 0, 0))
    np.testing.assert_array_equal(load(tmp_path / "out" / "classes" / "1.png"), (cell(0) + cell(1)) // 20)


def test_a_single_mask_that_may_be_either_is_refused_with_the_remedy(image):
    half = np.zeros((HEIGHT, WIDTH), np.uint8)
    half[2:10, 1:19] = 255  # 60 % of the image, and nothing of its border
    tifffile.imwrite(image / "masks" / "0.tif", ~half, photometric="miniswhite")
    with pytest.raises(DataError, match=r"masks/0\.tif: white is zero there.*save it as PNG"):
        prepared(image)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_complements_whose_file_says_nothing_are_refused_with_the_remedy(image, count):
    for number in range(1, count + 1):
        inner = np.roll(nucleus(number), 3, axis=0)
        save(image / "masks" / f"{number}.png", ~inner)
    with pytest.raises(DataError, match=r"masks/1\.png.* complement.*: invert the masks"):
        prepared(image)
    assert not (image.parents[1] / "out").exists()


@pytest.mark.parametrize("inverted", range(4))
def test_one_complement_among_objects_is_refused_by_name(image, inverted):
    for number in range(4):
        mask = nucleus(number)  # on the border
        save(image / "masks" / f"{number}.png", ~mask if number == inverted else mask)
    with pytest.raises(DataError, match=rf"masks/{inverted}\.png covers most of its image.*invert the masks"):
        prepared(image)


def test_a_large_nucleus_beside_small_ones_is_kept(image):
    large = np.zeros((HEIGHT, WIDTH), np.uint8)
    large[3:] = 255
    save(image / "masks" / "0.png", nucleus(0))
    save(image / "masks" / "1.png", large)
    _, instances = prepared(image)
    assert np.bincount(instances.ravel())[1:].tolist() == [6, 9 * WIDTH]


@pytest.mark.parametrize("value", [0, 255])
def test_an_image_with_one_mask_of_one_value_is_kept(image, value):
    save(image / "masks" / "0.png", np.full((HEIGHT, WIDTH), value, np.uint8))
    assert (prepared(image)[1] == value // 255).all()


@pytest.mark.parametrize("name", ["notes.txt", "RoiSet.zip", "mask", "part2/mask.png", "mask.nii.gz"])
def test_a_file_among_masks_that_is_none_is_refused_by_name(image, name):
    save(image / "masks" / "0.png", nucleus(0))
    (image / "masks" / name).parent.mkdir(exist_ok=True)
    save(image / "masks" / "1.png", nucleus(1)).rename(image / "masks" / name)
    with pytest.raises(DataError, match=rf"masks/{name}: every file in masks/ is taken for the mask of one nucleus"):
        prepared(image)


def test_a_file_among_masks_of_cells_that_is_none_is_refused_by_name(tmp_path):
    save(tmp_path / "raw" / "x" / "1.bmp", np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    save(tmp_path / "raw" / "y" / "1_1.bmp", cell(0))
    (tmp_path / "raw" / "y" / "1_2.txt").touch()
    with pytest.raises(DataError, match=r"y/1_2\.txt: every file in y/ is taken for the mask of one cell"):
        prepare_segpc2021(tmp_path / "raw", tmp_path / "out", workers=1)


def test_a_mask_of_several_pages_is_refused(image):
    stack = np.stack([nucleus(number) for number in range(3)])
    tifffile.imwrite(image / "masks" / "0.tif", stack, imagej=True)
    with pytest.raises(DataError, match=r"masks/0\.tif is a mask of 3 pages: save each as a file of its own"):
        prepared(image)


def test_what_lies_elsewhere_stands_in_the_table(image):
    save(image / "masks" / "0.png", nucleus(0))
    for name in ("readme.txt", "id0/images/slide.svs", "id0/extra/more.png", "more.png"):
        (image.parent / name).parent.mkdir(exist_ok=True)
        (image.parent / name).touch()
    dataset, _ = prepared(image)
    assert dataset["skipped"] == {
        "file in images that is no image": ["id0/images/slide.svs"],
        "image in neither <id>/images nor <id>/masks": ["id0/extra/more.png", "more.png"],
    }


def test_images_outside_of_the_named_part_stand_in_the_table(image):
    save(image / "masks" / "0.png", nucleus(0))
    shutil.copytree(image, image.parents[1] / "both" / "stage1_train" / "id0")
    shutil.copytree(image, image.parents[1] / "both" / "stage1_test" / "id1")
    dataset = prepare_dsb2018(image.parents[1] / "both", image.parents[1] / "out", workers=1)
    assert dataset["skipped"] == {
        "image outside of stage1_train": ["stage1_test/id1/images/id0.png", "stage1_test/id1/masks/0.png"]
    }


def test_what_lies_elsewhere_beside_cells_stands_in_the_table(tmp_path):
    save(tmp_path / "raw" / "x" / "1.bmp", np.full((HEIGHT, WIDTH, 3), 200, np.uint8))
    for name in ("y/1_1.bmp", "y/more/1_2.bmp"):
        save(tmp_path / "raw" / name, cell(0))
    (tmp_path / "raw" / "x" / "notes.txt").touch()
    dataset = prepare_segpc2021(tmp_path / "raw", tmp_path / "out", workers=1, fractions=(1, 0, 0))
    assert dataset["skipped"] == {
        "file in x that is no image": ["x/notes.txt"],
        "image in neither x nor y": ["y/more/1_2.bmp"],
    }


def test_an_image_without_masks_is_refused_with_the_sign_of_one_without_nuclei(image):
    with pytest.raises(DataError, match=r"id0\.png has no masks: .* one without nuclei has a mask that is all black"):
        prepared(image)
