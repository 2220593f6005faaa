"""What is written into an overlay can be read, and hides no small object."""

import io

import numpy as np
import pytest
from PIL import Image

from medseg_ext.images.label_images import read_label_image
from medseg_ext.images.png import encode_png
from medseg_ext.objects.annotations import annotate, bar_length_um
from medseg_ext.objects.overlay import CLASS_COLOURS

GREY = np.full((400, 600, 3), 128, dtype=np.uint8)


def disc(radius, shape=(400, 600), centre=(150, 200)):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return ((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2).astype(np.int32)


def test_a_bar_is_drawn_where_the_size_of_a_pixel_is_known_and_is_as_long_as_it_says():
    empty = np.zeros((400, 600), dtype=np.int32)
    assert (annotate(GREY, empty, pixel_size_um=None) == GREY).all()
    drawn = annotate(GREY, empty, pixel_size_um=(0.5, 0.5))
    white = (drawn == 255).all(axis=-1)
    assert white.sum(axis=1).max() == 50 / 0.5  # of 300 µm 50 are the longest round quarter


@pytest.mark.parametrize("width_um", [0.3, 1.0, 7.9, 80.0, 99.9, 12345.0])
def test_a_bar_has_a_round_length_and_a_tenth_to_a_quarter_of_the_width(width_um):
    length = bar_length_um(width_um)
    assert 0.1 * width_um <= length <= 0.25 * width_um * 1.001
    assert f"{length:e}"[0] in "125"


def test_a_number_stands_inside_an_object_that_has_room_and_on_no_smaller_one():
    large, small = disc(40), disc(9)
    drawn = (annotate(GREY, large, pixel_size_um=None) != GREY).any(axis=-1)
    assert drawn.any()
    assert not drawn[large == 0].any()
    assert (annotate(GREY, small, pixel_size_um=None) == GREY).all()


def test_a_class_map_opens_in_colours_and_keeps_its_values():
    classes = np.arange(3, dtype=np.uint8).repeat(8).reshape(4, 6)
    data = encode_png(classes, palette=CLASS_COLOURS)
    image = Image.open(io.BytesIO(data))
    assert image.mode == "P"
    assert (np.asarray(image) == classes).all()
    assert (np.asarray(image.convert("RGB")) == CLASS_COLOURS[classes]).all()
    assert (read_label_image(data, "a_classes.png").labels == classes).all()
