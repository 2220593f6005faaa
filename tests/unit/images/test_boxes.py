import pytest

from medseg_ext.images.boxes import Box


def test_a_box_contains_itself_and_nothing_that_goes_beyond_a_side():
    box = Box(2, 3, 7, 9)
    assert box.contains(box)
    assert box.contains(Box(3, 4, 6, 8))
    for beyond in (Box(1, 3, 7, 9), Box(2, 2, 7, 9), Box(2, 3, 8, 9), Box(2, 3, 7, 10)):
        assert not box.contains(beyond)
        assert beyond.contains(box)


def test_the_union_reaches_the_outermost_side_of_either():
    assert Box(2, 30, 7, 90).union(Box(4, 10, 60, 20)) == Box(2, 10, 60, 90)
    assert Box(4, 10, 60, 20).union(Box(2, 30, 7, 90)) == Box(2, 10, 60, 90)


def test_rows_and_columns_are_scaled_each_by_its_own_and_rounded():
    assert Box(3, 3, 7, 7).scaled((1.5, 2.25)) == Box(4, 7, 10, 16)  # of 4.5, 6.75, 10.5 and 15.75


@pytest.mark.parametrize("scale", [(1.37, 0.71), (0.5, 2.5)])
def test_boxes_that_touch_still_do_when_they_are_scaled(scale):
    for side in range(1, 40):
        upper, lower = Box(0, 0, side, side).scaled(scale), Box(side, side, 2 * side, 2 * side).scaled(scale)
        assert (upper.bottom, upper.right) == (lower.top, lower.left)


def test_the_place_in_an_array_counts_from_its_own_corner():
    assert Box(12, 25, 15, 29).inside(Box(10, 20, 40, 50)) == (slice(2, 5), slice(5, 9))
