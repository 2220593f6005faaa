"""Draw objects over their image."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, find_objects

from medseg_ext.images.composite import as_rgb

# Bright and saturated: they show on dark fluorescence as well as on purple, pink and white of stained tissue.
PALETTE = np.array(
    [
        (255, 225, 25),  # yellow
        (0, 210, 255),  # cyan
        (255, 120, 0),  # orange
        (60, 220, 60),  # green
        (255, 70, 190),  # pink
        (130, 255, 200),  # mint
        (255, 60, 60),  # red
    ],
    dtype=np.uint8,
)
# Of the values of a class map: black, and colours that are apart for the colour-blind.
CLASS_COLOURS = np.concatenate([np.zeros((1, 3), dtype=np.uint8), PALETTE[[1, 0, 2, 4, 3, 5, 6]]])
WHITE = np.array((255, 255, 255), dtype=np.uint8)


def draw_outlines(picture: NDArray[np.uint8], instances: np.ndarray, classes: np.ndarray) -> NDArray[np.uint8]:
    """Outline every object in a colour that no object next to it has.

    The outline lies inside the object; it grows with the image, and shrinks where objects are small. Of classes above
    the first, such as the nucleus of a cell, the outline is white and half as wide.

    Args:
        picture: uint8 (H, W, 3), as of `brightened`.
        instances: label map, integers (H, W).
        classes: class map, integers (H, W).

    Returns:
        uint8 (H, W, 3).

    Raises:
        ValueError: the maps and the image differ in size.
    """
    if not instances.shape == classes.shape == picture.shape[:2]:
        raise ValueError(
            f"expected maps of the image's size {picture.shape[:2]}, "
            f"got instances {instances.shape} and classes {classes.shape}"
        )
    canvas = picture.copy()
    width_px = _outline_width_px(instances)
    outline = _outline(instances, width_px)
    colours = _colours_of_labels(instances, reach_px=3 * width_px)
    canvas[outline] = colours[instances[outline]]
    for number in range(2, int(classes.max()) + 1):
        inner = np.where(classes == number, instances, 0)
        canvas[_outline(inner, max(1, width_px // 2)) & ~outline] = WHITE
    return canvas


def brightened(image: np.ndarray) -> NDArray[np.uint8]:
    """Make a picture of an image, in which the brightest 0.2 % of its values are white.

    Of other than RGB each channel is made so by itself, and shown in a colour of its own.

    Args:
        image: float (H, W, C) in [0, 1].

    Returns:
        uint8 (H, W, 3).
    """
    axes = None if image.shape[2] == 3 else (0, 1)
    white = np.maximum(np.percentile(image, 99.8, axis=axes), 1e-6).astype(image.dtype)
    picture = as_rgb(np.minimum(image / white, 1)) if image.shape[2] != 3 else image / white
    np.clip(picture, 0, 1, out=picture)  # in place: memory that is new each time costs more than the arithmetic
    picture *= 255
    return np.rint(picture, out=picture).astype(np.uint8)


def _outline_width_px(instances: np.ndarray) -> int:
    """Choose a width: one pixel for every 256 of the shorter side, but at most a tenth of the usual object."""
    areas = np.bincount(instances.ravel())[1:]
    if not areas.any():
        return 1
    diameter_px = 2 * np.sqrt(np.median(areas[areas > 0]) / np.pi)
    return int(max(1, min(round(min(instances.shape) / 256), diameter_px / 10)))


def _outline(labels: np.ndarray, width_px: int) -> np.ndarray:
    """Mark the pixels of each object that are within `width_px` of its edge; bool (H, W)."""
    outline = np.zeros(labels.shape, dtype=bool)
    for label, box in enumerate(find_objects(labels), start=1):
        if box is not None:
            inside = np.pad(labels[box] == label, 1)
            outline[box] |= (inside & (distance_transform_edt(inside) <= width_px))[1:-1, 1:-1]
    return outline


def _colours_of_labels(instances: np.ndarray, *, reach_px: int) -> np.ndarray:
    """Colour labels greedily, so that neighbours differ while the palette lasts; uint8 (labels + 1, 3)."""
    neighbours = _neighbours(instances, reach_px)
    chosen = np.zeros(int(instances.max()) + 1, dtype=int)
    for label in range(1, len(chosen)):
        taken = {chosen[other] for other in neighbours[label] if other < label}
        # starting at another colour each time keeps the picture varied, too
        candidates = [(label + step) % len(PALETTE) for step in range(len(PALETTE))]
        chosen[label] = next((colour for colour in candidates if colour not in taken), candidates[0])
    return PALETTE[chosen]


def _neighbours(instances: np.ndarray, reach_px: int) -> defaultdict[int, set[int]]:
    """Find pairs of labels one pixel or `reach_px` apart, along the rows, the columns and both diagonals."""
    neighbours: defaultdict[int, set[int]] = defaultdict(set)
    for step in {1, reach_px}:
        for rows, columns in ((0, step), (step, 0), (step, step), (step, -step)):
            here = instances[: instances.shape[0] - rows, max(0, -columns) : instances.shape[1] - max(0, columns)]
            there = instances[rows:, max(0, columns) : instances.shape[1] + min(0, columns)]
            differ = (here != there) & (here > 0) & (there > 0)
            for one, other in np.unique(np.stack([here[differ], there[differ]], axis=1), axis=0).tolist():
                neighbours[one].add(other)
                neighbours[other].add(one)
    return neighbours
