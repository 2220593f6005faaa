import itertools

import numpy as np
import pytest
from PIL import Image
from skimage.color import deltaE_ciede2000, rgb2lab

from medseg_ext.pages.example_images import lowest, nearest_to_quartiles
from medseg_ext.pages.found_and_missed import MATCHED, MISSED, SPURIOUS
from medseg_ext.pages.panels import CAPTION_PX, LEGEND, legend_lines, save_small_png, side_by_side

# Machado, Oliveira, Fernandes: A Physiologically-based Model for Simulation of Color Vision Deficiency. IEEE TVCG 2009,
# severity 1.0, for linear RGB.
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def as_seen(colour, matrix):
    value = np.array(colour) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.asarray(matrix) @ linear, 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_outlines_are_told_apart(vision):
    for one, other in itertools.combinations((MATCHED, MISSED, SPURIOUS), 2):
        # 2.3 is a just noticeable difference; thin lines on a busy ground want several times that
        assert deltaE_ciede2000(as_seen(one, VISION[vision]), as_seen(other, VISION[vision])) > 20


def test_the_palette_keeps_the_colours_of_the_legend(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    picture.paste(legend_lines(300), (0, 0))
    save_small_png(picture, tmp_path / "new" / "picture.png")
    with Image.open(tmp_path / "new" / "picture.png") as saved:
        colours = {colour for _, colour in saved.convert("RGB").getcolors(maxcolors=300)}
    assert {*LEGEND.values(), (255, 255, 255)} <= colours


def test_the_legend_breaks_into_lines_where_it_is_narrow():
    assert legend_lines(320).height > legend_lines(1600).height


def test_a_long_title_is_written_smaller_so_that_its_end_is_seen():
    """A run's score is the end of its title."""
    for title in ("DeepLabV3+ (dsb2018_deeplabv3plus): 0.512", "W" * 30):
        row = side_by_side([Image.new("RGB", (400, 300))] * 2, above=["truth", title])
        ink = np.flatnonzero((np.array(row)[:CAPTION_PX, -400:] < 128).any(axis=(0, 2)))
        assert 300 < ink.max() < 399


def test_undefined_values_are_neither_lowest_nor_typical():
    values = np.array([np.nan, 0.4, np.nan, 0.2])
    assert lowest(values) == [3, 1]
    assert sorted(nearest_to_quartiles(values)) == [1, 3]


def test_kinds_are_repeated_only_where_there_are_too_few():
    values = np.linspace(0, 1, 9)
    assert nearest_to_quartiles(values) == [2, 4, 6]
    assert len(set(nearest_to_quartiles(values, kinds=["same"] * 9))) == 3
