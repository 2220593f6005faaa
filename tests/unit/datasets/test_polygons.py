import numpy as np
import pytest
from skimage.draw import polygon2mask

from medseg_ext.datasets.polygons import draw_polygons


def whole(drawn, shape):
    mask = np.zeros(shape, bool)
    mask[drawn.top : drawn.top + drawn.mask.shape[0], drawn.left : drawn.left + drawn.mask.shape[1]] = drawn.mask
    return mask


@pytest.mark.parametrize("seed", range(10))
def test_a_polygon_holds_the_pixels_whose_centres_scikit_image_finds_in_it(seed):
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 30))
    radii = random.uniform(8, 25, 30)
    xy = np.stack([50 + radii * np.cos(angles), 40 + radii * np.sin(angles)], axis=1)
    expected = polygon2mask((80, 100), xy[:, ::-1] - 0.5)  # there, coordinates are those of centres
    found = whole(draw_polygons([[xy]], (80, 100)), (80, 100))
    assert np.count_nonzero(found != expected) <= 2  # of centres on an edge


def test_holes_and_parts_are_even_and_odd_and_union():
    outer, hole = [(0, 0), (10, 0), (10, 10), (0, 10)], [(3, 3), (6, 3), (6, 6), (3, 6)]
    other = [(8, 8), (20, 8), (20, 12), (8, 12)]
    drawn = draw_polygons([[outer, hole], [other]], (30, 40))
    assert np.count_nonzero(drawn.mask) == 100 - 9 + 48 - 4
    assert not drawn.leaves_image
    assert not drawn.crosses_itself


@pytest.mark.parametrize(
    "ring", [[(0, 0), (1, 1)], [(0, 0), (1, 1), (2, np.inf)], [(0, 0), (1, 1), (2, 1e12)], [1, 2, 3]]
)
def test_what_is_no_ring_is_refused(ring):
    with pytest.raises(ValueError, match=r"corner|finite"):
        draw_polygons([[ring]], (5, 5))
