"""Draw what lies between the nuclei of a tissue section."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medseg_ext.synthetic import optics, textures
from medseg_ext.synthetic.shapes import FloatImage


def matter(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    direction_rad: float,
    amount: float,
    contrast: float,
    gaps: float,
    ghosts: float,
) -> tuple[FloatImage, FloatImage]:
    """Draw fibrous tissue with gaps in it.

    Args:
        rng: source of randomness.
        shape: height and width.
        direction_rad: direction of the fibres, from the column axis towards the row axis.
        amount: typical amount of counterstain.
        contrast: how much that varies along fibres.
        gaps: share of the slide that is empty.
        ghosts: how clearly the outlines of unstained cells show.

    Returns:
        Amount of counterstain, and how empty the slide is, in [0, 1]; each of shape (H, W).
    """
    field = textures.clouds(rng, shape, roughness=2.2)
    level = float(np.quantile(field, 1 - gaps))
    openness = np.clip((field - level) * 3.0, 0, 1)
    strands = textures.fibres(rng, shape, angle_rad=direction_rad, length_px=9, width_px=1.0, waviness_px=18)
    broad = textures.fibres(rng, shape, angle_rad=direction_rad, length_px=30, width_px=4.0, waviness_px=30)
    rough = textures.clouds(rng, shape, roughness=1.1)
    structure = 1 + contrast * (0.45 * strands + 0.35 * broad + 0.6 * rough)
    solid = amount * np.clip(structure, 0.05, None) * (1 - 0.85 * openness)
    solid = solid + 0.8 * ghosts * amount * _cell_pattern(rng, shape, cell_area_px=220)[0]
    return solid.astype(np.float32), openness.astype(np.float32)


def vessel(rng: np.random.Generator, shape: tuple[int, int], *, direction_rad: float) -> FloatImage:
    """Draw packed red cells that fill a strip across the image.

    Args:
        rng: source of randomness.
        shape: height and width.
        direction_rad: direction of the strip, from the column axis towards the row axis.

    Returns:
        Amount of their own colour, about 1 inside, shape (H, W).
    """
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    middle = rng.uniform(0.1, 0.9, size=2) * shape
    across = (rows - middle[0]) * np.cos(direction_rad) - (columns - middle[1]) * np.sin(direction_rad)
    across = across + 14 * textures.grain(rng, shape, scale_px=0.25 * min(shape))
    width = float(rng.uniform(0.07, 0.16)) * min(shape) * (1 + 0.3 * textures.grain(rng, shape, scale_px=30.0))
    border, (row, column) = _cell_pattern(rng, shape, cell_area_px=420)
    red = (np.abs(across) < width)[row, column].astype(np.float32)  # a red cell is all in or all out
    uneven = 1 + 0.12 * textures.clouds(rng, shape)
    seams = 0.45 * border * np.clip(0.4 + 0.6 * textures.grain(rng, shape, scale_px=12.0), 0, 1)
    red = np.clip(optics.defocus(red, sigma_px=5.0) * 6.0 - 2.5, 0, 1)
    return (red * uneven * (0.95 - seams)).astype(np.float32)


def _cell_pattern(
    rng: np.random.Generator, shape: tuple[int, int], *, cell_area_px: float
) -> tuple[FloatImage, NDArray[np.intp]]:
    """Packed cells: how near their borders each pixel is, about 1 on them, and each pixel's seed, shape (2, H, W)."""
    seeds = np.zeros(shape, dtype=bool)
    count = int(shape[0] * shape[1] / cell_area_px)
    seeds[rng.integers(0, shape[0], count), rng.integers(0, shape[1], count)] = True
    nearest = ndimage.distance_transform_edt(~seeds, return_distances=False, return_indices=True)
    stray = 2.5 * np.stack([textures.grain(rng, shape, scale_px=4.0) for _ in range(2)])
    row, column = np.rint(np.mgrid[0 : shape[0], 0 : shape[1]] + stray).astype(np.intp)
    nearest = nearest[:, np.clip(row, 0, shape[0] - 1), np.clip(column, 0, shape[1] - 1)]
    cell = nearest[0] * shape[1] + nearest[1]
    border = (ndimage.maximum_filter(cell, 3) != ndimage.minimum_filter(cell, 3)).astype(np.float32)
    return optics.defocus(border, sigma_px=0.8), nearest
