from medseg_ext.datasets.findings import LOOK, Case, Finding, Findings, findings_table
from medseg_ext.datasets.own_objects import LOBES, NO_CLASS, PIECES
from medseg_ext.datasets.preparation_table import summary


def test_a_preparation_counts_one_and_several_as_people_do_and_says_where_all_names_are():
    classes = [{"class": NO_CLASS, "taken_for": "nucleus", "objects": 997}]
    classes += [
        {"class": "Tumor", "taken_for": "nucleus", "objects": 1},
        {"class": "Dirt", "taken_for": None, "objects": 2},
    ]
    dataset = {
        "name": "Mine", "counts": {"training": {"images": 1, "objects": 998}}, "object": "nucleus", "overlap_px": 0,
        "skipped": {}, "told": {LOBES: ["a", "b"], PIECES: ["c"]}, "classes_of_objects": classes,
        "licence": "CC0", "origin": "x", "without_group": [], "groups_without_image": ["x1", "x2", "x3", "x4"],
    }  # fmt: skip
    text = summary(dataset)
    assert "   997  objects without a class, taken for nuclei" in text
    assert "     1  object of the class Tumor, taken for a nucleus" in text
    assert "     2  objects of the class Dirt, left out" in text
    assert "     2  objects with a deep notch" in text
    assert "     1  object of several pieces" in text
    assert "rows of the groups file that name no image with labels: 4, x1, x2, x3 and 1 more" in text
    assert "may be meant otherwise (all names: dataset.json, told):" in text


def test_a_check_counts_objects_where_objects_are_meant():
    cases = [Case((name,), ("training",), objects=(1, 2, 3)) for name in "ab"]
    found = Findings("Mine", 2, 9, [Finding(LOOK, "like two", "look", cases), Finding(LOOK, "twice", "-", cases[:0])])
    assert "look       6  like two (in 2 images)" in findings_table(found)
