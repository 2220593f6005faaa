"""Measurements against values worked out by hand."""

import csv
import io

import numpy as np
import pytest

from medseg_ext.objects.measurements import measure_objects, summarise_objects
from medseg_ext.tables import rows_of, to_csv

# Two objects on 3 rows and 5 columns: a flat L at the upper right, a single pixel at the lower left.
INSTANCES = np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 1], [2, 0, 0, 0, 0]], dtype=np.int32)
CLASSES = np.array([[0, 0, 0, 1, 1], [0, 0, 0, 0, 2], [2, 0, 0, 0, 0]], dtype=np.uint8)
IMAGE = np.zeros((3, 5, 3), dtype=np.float32)
IMAGE[0, 3] = (1.0, 0.5, 0.0)
IMAGE[0, 4] = (0.5, 0.5, 0.0)
IMAGE[1, 4] = (0.0, 0.5, 0.75)
IMAGE[2, 0] = (0.25, 0.125, 1.0)


def measure(instances=INSTANCES, classes=CLASSES, scores=(0.9, 0.4), image=IMAGE, **names):
    names = {"class_names": ["background", "nucleus"], "object_name": "nucleus"} | names
    return measure_objects(instances, classes, np.asarray(scores, dtype=np.float32), image, **names)


def test_a_flat_object_has_the_measures_worked_out_by_hand():
    first, second = rows_of(measure())
    assert first == pytest.approx(
        {
            "id": 1,
            "class": "nucleus",
            "score": 0.9,
            "area_px": 3,
            "centroid_row": 1 / 3,
            "centroid_column": 11 / 3,
            "bbox_top": 0,
            "bbox_left": 3,
            "bbox_bottom": 2,
            "bbox_right": 5,
            "mean_red": 0.5,
            "mean_green": 0.5,
            "mean_blue": 0.25,
            "touches_border": 1,
        }
    )
    assert second["bbox_bottom"] == 3
    assert (second["mean_red"], second["mean_green"], second["mean_blue"]) == (0.25, 0.125, 1.0)


def test_a_cell_has_the_area_of_each_class_and_their_ratio():
    table = measure(class_names=["background", "cytoplasm", "nucleus"], object_name="cell")
    assert table["cytoplasm_area_px"].tolist() == [2, 0]
    assert table["nucleus_area_px"].tolist() == [1, 1]
    assert np.isnan(table["nucleus_cytoplasm_ratio"]).all()  # the border may cut both
    padded = [np.pad(each, 1) for each in (INSTANCES, CLASSES)]
    table = measure(
        *padded,
        image=np.pad(IMAGE, ((1, 1), (1, 1), (0, 0))),
        class_names=["background", "cytoplasm", "nucleus"],
        object_name="cell",
    )
    assert table["touches_border"].tolist() == [0, 0]
    assert table["nucleus_cytoplasm_ratio"][0] == 0.5
    assert np.isnan(table["nucleus_cytoplasm_ratio"][1])  # no cytoplasm


def test_a_ratio_without_cytoplasm_is_an_empty_cell():
    table = measure(class_names=["background", "cytoplasm", "nucleus"], origin=(1, 1), image_size=(9, 9))
    rows = list(csv.DictReader(io.StringIO(to_csv(list(table), rows_of(table)).decode())))
    assert [row["nucleus_cytoplasm_ratio"] for row in rows] == ["0.5", ""]
    assert [row["area_px"] for row in rows] == ["3", "1"]


def test_one_foreground_class_has_no_columns_of_classes():
    assert not [column for column in measure() if "nucleus" in column]


@pytest.mark.parametrize("class_names", [["background", "nucleus"], ["background", "cytoplasm", "nucleus"]])
def test_an_empty_image_has_the_header_of_a_full_one(class_names):
    empty = measure(np.zeros_like(INSTANCES), np.zeros_like(CLASSES), (), class_names=class_names)
    assert list(empty) == list(measure(class_names=class_names))
    assert to_csv(list(empty), rows_of(empty)).decode().splitlines() == [",".join(empty)]


def test_a_label_that_is_missing_shifts_no_score():
    table = measure(np.where(INSTANCES == 2, 3, INSTANCES), scores=(0.9, 0.1, 0.4))
    assert table["id"].tolist() == [1, 3]
    assert table["score"] == pytest.approx([0.9, 0.4])


def test_a_summary_agrees_with_its_objects():
    whole = measure(class_names=["background", "cytoplasm", "nucleus"], origin=(1, 1), image_size=(9, 9))
    summary = summarise_objects(whole, (3, 5))
    assert summary == {
        "height": 3,
        "width": 5,
        "objects": 2,
        "foreground_fraction": pytest.approx(4 / 15),
        "mean_area_px": 2.0,
        "median_nucleus_cytoplasm_ratio": 0.5,  # of the one cell that has it
    }


def test_what_an_empty_image_does_not_have_is_nan():
    empty = measure(np.zeros_like(INSTANCES), np.zeros_like(CLASSES), (), class_names=["b", "cytoplasm", "nucleus"])
    summary = summarise_objects(empty, (3, 5))
    assert (summary["objects"], summary["foreground_fraction"]) == (0, 0)
    assert np.isnan([summary["mean_area_px"], summary["median_nucleus_cytoplasm_ratio"]]).all()


def test_transposed_maps_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 5\), got instances \(5, 3\)"):
        measure(INSTANCES.T, CLASSES.T)


def test_a_label_without_a_score_is_refused():
    with pytest.raises(ValueError, match="each of 2 labels, got 1"):
        measure(scores=(0.9,))


def test_large_numbers_keep_the_digits_before_the_point():
    assert to_csv(["a", "b"], [{"a": 1234567.25, "b": 12345678}]) == b"a,b\n1234567.2,12345678\n"


def test_names_with_any_end_of_line_come_back_from_a_csv():
    names = ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "plain"]
    content = to_csv(["name"], [{"name": name} for name in names])
    assert [row["name"] for row in csv.DictReader(io.StringIO(content.decode(), newline=""))] == names
    assert content.endswith(b"\nplain\n")


@pytest.mark.parametrize("origin", [(0, 0), (2, 2), (2, 0), (7, 5)])
def test_the_border_is_that_of_the_image_and_not_of_a_part(origin):
    table = measure(origin=origin, image_size=(10, 10))
    expected = [
        int(top + origin[0] == 0 or left + origin[1] == 0 or bottom + origin[0] == 10 or right + origin[1] == 10)
        for top, left, bottom, right in ((0, 3, 2, 5), (2, 0, 3, 1))
    ]
    assert table["touches_border"].tolist() == expected
