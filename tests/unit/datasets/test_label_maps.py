import numpy as np
import pytest

from medseg_ext.datasets.label_maps import ObjectMask, merge_objects


def squares(count: int, shape: tuple[int, int]):
    """Draw objects of one pixel each, row by row."""
    for number in range(count):
        class_map = np.zeros(shape, np.uint8)
        class_map.flat[number] = 1
        yield ObjectMask(class_map)


def test_labels_follow_the_order_of_the_masks():
    maps = merge_objects(squares(3, (2, 3)), 2, 3)
    assert maps.instances.tolist() == [[1, 2, 3], [0, 0, 0]]
    assert maps.instances.dtype == np.uint16
    assert maps.classes.dtype == np.uint8


def test_more_than_255_objects_stay_apart():
    maps = merge_objects(squares(1000, (20, 50)), 20, 50)
    assert np.array_equal(maps.instances.ravel(), np.arange(1, 1001))


def test_the_earlier_object_wins_within_a_class_and_overlap_is_counted():
    first, second = np.zeros((2, 4), np.uint8), np.zeros((2, 4), np.uint8)
    first[:, :3] = 1
    second[:, 1:] = 1
    maps = merge_objects(map(ObjectMask, [first, second]), 2, 4)
    assert maps.instances.tolist() == [[1, 1, 1, 2]] * 2
    assert maps.overlap_px == 4


def test_nucleus_wins_over_cytoplasm_of_another_cell_in_either_order():
    nucleus = ObjectMask(np.array([[0, 2, 2]], np.uint8))
    cytoplasm = ObjectMask(np.array([[1, 1, 0]], np.uint8))
    assert merge_objects([nucleus, cytoplasm], 1, 3).instances.tolist() == [[2, 1, 1]]
    assert merge_objects([cytoplasm, nucleus], 1, 3).instances.tolist() == [[1, 2, 2]]
    assert merge_objects([cytoplasm, nucleus], 1, 3).classes.tolist() == [[1, 2, 2]]


def test_objects_without_a_pixel_leave_no_gap_in_the_labels():
    empty, left, right = np.zeros((3, 1, 4), np.uint8)
    left[:, :2] = 1
    right[:, 2:] = 1
    maps = merge_objects(map(ObjectMask, [empty, left, left, right]), 1, 4)
    assert maps.instances.tolist() == [[1, 1, 2, 2]]
    assert maps.hidden == [0, 2]


def test_an_image_without_objects_is_all_background():
    maps = merge_objects([], 2, 3)
    assert maps.instances.tolist() == maps.classes.tolist() == [[0, 0, 0], [0, 0, 0]]


def test_more_objects_than_16_bits_can_number_are_refused():
    def pixels():
        class_map = np.zeros((256, 257), np.uint8)
        for number in range(65536):
            class_map[:] = 0
            class_map.flat[number] = 1
            yield ObjectMask(class_map)

    with pytest.raises(OverflowError, match="65536 objects"):
        merge_objects(pixels(), 256, 257)
