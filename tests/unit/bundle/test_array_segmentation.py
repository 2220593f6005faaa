import csv

import numpy as np
import pytest
import tifffile
from bundle_settings import QUICK, ROOT

from medseg_ext.bundle.array_segmentation import ArraySegmenter
from medseg_ext.cli.main import main
from medseg_ext.errors import DataError
from medseg_ext.images.tiff_writing import write_image_tiff
from medseg_ext.synthetic.scenes import smears

NUCLEI, CELLS = (ROOT / "bundles" / name for name in ("dsb2018_unet", "segpc2021_unet"))
QUICK_OPTIONS = [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]


def discs(size=(160, 200), *, dtype=np.uint8):
    """Draw bright discs on a dark ground."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    inside = (rows % 40 - 20) ** 2 + (columns % 40 - 20) ** 2 < 9**2
    noise = np.random.default_rng(0).normal(0, 0.01, size)
    return (np.clip(0.2 + 0.5 * inside + noise, 0, 1) * np.iinfo(dtype).max).astype(dtype)


@pytest.fixture(scope="module")
def nuclei():
    return ArraySegmenter(NUCLEI, overrides=QUICK)


def by_the_front_door(pixels, folder, *words, bundle=NUCLEI, pixel_size_um=None):
    """Segment a TIFF of the pixels; returns label map, and the rows of the table as they are written."""
    write_image_tiff(folder / "a.tif", pixels, pixel_size_um=pixel_size_um)
    command = ["segment", str(folder / "a.tif"), "--bundle", str(bundle), "--output", str(folder / "out"), *words]
    assert main([*command, *QUICK_OPTIONS, "--no-gallery"]) == 0
    with (folder / "out" / "a_objects.csv").open() as file:
        return tifffile.imread(folder / "out" / "a_instances.tif"), list(csv.DictReader(file))


def assert_same_table(table, rows):
    assert len(table["id"]) == len(rows)
    for number, row in enumerate(rows):
        assert list(table) == list(row)
        for column, text in row.items():
            value = table[column][number]
            assert text == value if isinstance(value, str) else np.isclose(float(text or "nan"), value, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_objects_and_table_are_those_of_the_file(nuclei, tmp_path, dtype):
    pixels = discs(dtype=dtype)
    found = nuclei.segment(pixels, pixel_size_um=(0.25, 0.5))
    expected, rows = by_the_front_door(pixels, tmp_path, pixel_size_um=(0.25, 0.5))
    assert expected.max() > 10
    np.testing.assert_array_equal(found.objects, expected)
    assert_same_table(found.table, rows)
    assert "area_um2" in found.table
    assert found.nuclei is None


def test_a_large_array_is_done_tile_by_tile_with_the_objects_of_its_file(tmp_path):
    pixels, tiles = discs((1100, 1000)), []
    segmenter = ArraySegmenter(NUCLEI, overrides={**QUICK, "large_image_px": 100_000, "tile_size": 600})
    found = segmenter.segment(pixels, when_tile_done=lambda *numbers: tiles.append(numbers))
    words = ("--large_image_px", "100000", "--tile_size", "600")
    expected, rows = by_the_front_door(pixels, tmp_path, *words)
    np.testing.assert_array_equal(found.objects, expected)
    assert_same_table(found.table, rows)
    assert tiles == [(number, len(tiles)) for number in range(1, len(tiles) + 1)]
    assert len(tiles) > 1


def test_plasma_cells_have_nuclei_under_the_numbers_of_the_cells():
    found = ArraySegmenter(CELLS, overrides=QUICK).segment(next(smears(0)).image)
    assert found.objects.max() > 0
    assert found.nuclei.any()
    inside = found.nuclei > 0
    np.testing.assert_array_equal(found.nuclei[inside], found.objects[inside])
    areas = np.bincount(found.nuclei[inside], minlength=found.objects.max() + 1)
    np.testing.assert_array_equal(areas[found.table["id"]], found.table["nucleus_area_px"])


def test_nothing_found_is_an_empty_table_with_all_columns(nuclei):
    found = nuclei.segment(np.full((64, 80), 7, np.uint8))
    assert not found.objects.any()
    assert found.table.keys() == nuclei.segment(discs()).table.keys()
    assert all(len(column) == 0 for column in found.table.values())


def test_a_given_diameter_holds_for_one_array(nuclei):
    pixels = discs()
    estimated = nuclei.segment(pixels).summary["scale"]
    assert nuclei.segment(pixels, object_diameter_px=60).summary["scale"] < estimated
    assert nuclei.segment(pixels).summary["scale"] == estimated


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((40, 40), np.nan), "not finite"),
        (np.zeros((40, 40), bool), "type bool"),
        (np.zeros((40, 40, 2), np.uint8), "grey"),
        (np.zeros((0, 40), np.uint8), "no pixel"),
    ],
)
def test_what_cannot_be_segmented_is_told_in_one_line_with_the_name(nuclei, pixels, words):
    with pytest.raises(DataError, match=words) as caught:
        nuclei.segment(pixels, name="stack / plane [3]")
    assert str(caught.value).startswith("stack / plane [3]")
    assert "\n" not in str(caught.value)
