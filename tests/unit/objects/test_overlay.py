"""Overlays show every object, and change nothing else."""

import numpy as np
import pytest

from medseg_ext.objects.overlay import PALETTE, WHITE, brightened, draw_outlines

GREY = np.full((12, 20, 3), 128, dtype=np.uint8)
GREY[0, 0] = 255


def blocks(*boxes, shape=(12, 20)):
    labels = np.zeros(shape, dtype=np.int32)
    for label, (top, left, bottom, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = label
    return labels


def test_only_the_edges_inside_objects_are_drawn():
    instances = blocks((3, 5, 8, 15))
    overlay = draw_outlines(GREY, instances, instances.astype(np.uint8))
    drawn = (overlay != GREY).any(axis=-1)
    expected = instances > 0
    expected[4:7, 6:14] = False
    assert (drawn == expected).all()
    assert (overlay.dtype, overlay.shape) == (np.uint8, GREY.shape)


@pytest.mark.parametrize("shift", [(0, 4), (4, 0), (4, 4), (4, -4)])
def test_touching_objects_differ_in_colour(shift):
    down, right = shift
    instances = blocks((1, 5, 5, 9), (1 + down, 5 + right, 5 + down, 9 + right))
    # labels a palette apart, which would take the same colour were it not for their touching
    other = 1 + len(PALETTE)
    instances[instances == 2] = other
    overlay = draw_outlines(GREY, instances, np.minimum(instances, 1))
    first, second = (
        np.unique(overlay[(instances == label) & (overlay != 128).any(-1)], axis=0) for label in (1, other)
    )
    assert len(first) == len(second) == 1
    assert (first != second).any()


def test_the_nucleus_of_a_cell_is_outlined_in_white():
    instances = blocks((1, 2, 11, 18))
    classes = instances + blocks((4, 6, 8, 14))
    overlay = draw_outlines(GREY, instances, classes)
    assert (overlay[4, 6:14] == WHITE).all()
    assert (overlay[5:7, 7:13] == 128).all()
    assert not (overlay[1, 2:18] == WHITE).all()


def test_outlines_grow_with_the_image_but_leave_small_objects_visible():
    image = np.zeros((1024, 1030, 3), dtype=np.uint8)
    large = blocks((100, 100, 900, 900), shape=image.shape[:2])
    small = blocks((100, 100, 108, 110), shape=image.shape[:2])
    assert draw_outlines(image, large, large)[500, 100:120].any(axis=-1).sum() == 4
    assert draw_outlines(image, small, small)[104, 100:110].any(axis=-1).sum() == 2


def test_a_picture_is_left_as_it_was():
    instances, before = blocks((3, 5, 8, 15)), GREY.copy()
    draw_outlines(GREY, instances, instances)
    assert (before == GREY).all()


def test_the_picture_of_a_bright_image_is_the_image():
    assert (brightened(GREY / np.float32(255)) == GREY).mean() > 0.99  # but for the brightest


def test_a_dim_image_becomes_visible():
    assert brightened(GREY / np.float32(255 * 32)).max() == 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("label", [0, 1])
def test_the_smallest_images_are_drawn(shape, label):
    instances = np.full(shape, label, dtype=np.int32)
    assert draw_outlines(brightened(np.zeros((*shape, 3))), instances, instances).shape == (*shape, 3)


def test_transposed_maps_are_refused():
    with pytest.raises(ValueError, match=r"\(12, 20\), got instances \(20, 12\)"):
        draw_outlines(GREY, blocks().T, blocks().T)
