"""Draw what lies between the white cells of a bone marrow smear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medseg_ext.synthetic import textures
from medseg_ext.synthetic.placement import Arrangement, scatter
from medseg_ext.synthetic.shapes import FloatImage, Outline, cover, irregular, tilt

REFERENCE_AREA_PX = 384 * 512  # numbers of things are for an image of this area


def red_cells(rng: np.random.Generator, shape: tuple[int, int], *, density: FloatImage) -> FloatImage:
    """Draw red cells, alone and piled up.

    Args:
        rng: source of randomness.
        shape: height and width.
        density: where they may lie, in [0, 1], shape (H, W).

    Returns:
        Amount of their own colour, about 1 inside, shape (H, W).
    """
    arrangement = Arrangement(shape)
    radius, pallor = float(rng.uniform(17, 21)), float(rng.choice([0.0, 0.1, 0.3]))

    def draw(rng: np.random.Generator) -> Outline:
        size, elongation = radius * float(rng.lognormal(0, 0.1)), float(rng.uniform(1, 1.4))
        return irregular(rng, radius_px=size, elongation=elongation, roughness=0.07, bend=0.08)

    patches = np.clip(0.6 + 0.5 * textures.grain(rng, shape, scale_px=0.2 * min(shape)), 0, 1)
    count = int(rng.uniform(10, 80) * _area(shape))
    scatter(rng, arrangement, draw, count=count, crowding=0.85, density=density * patches, max_overlap=0.45)
    amount = np.zeros(shape, dtype=np.float32)
    for outline in arrangement.outlines:
        window = outline.window(shape)
        if window is not None:
            depth = outline.depth_px(window)
            rim = np.exp(-(((depth - 1.0) / 1.3) ** 2))
            hollow = cover(depth - 0.62 * outline.radius_px, edge_px=0.5 * outline.radius_px)
            relief = tilt(rng, depth.shape, spread=0.25)  # it stands askew, and so is thicker on one side
            thickness = float(rng.uniform(0.75, 1.05)) * relief + 0.15 * rim - pallor * hollow
            one = cover(depth, edge_px=1.6) * thickness
            # Where red cells lie on each other they look like one, but for a thin bright seam.
            seam = 1 - 0.22 * rim * (amount[window] > 0.3)
            amount[window] = np.maximum(amount[window], one) * seam + 0.15 * np.minimum(amount[window], one)
    return (amount * (1 + 0.05 * textures.clouds(rng, shape)) * (0.3 + 0.7 * density)).astype(np.float32)


def fluid(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Mottled dried fluid, amount about 0.2 to 1.1, shape (H, W)."""
    mottle = 0.5 * textures.clouds(rng, shape, roughness=1.2) + 0.25 * textures.grain(rng, shape, scale_px=1.2)
    return np.clip(float(rng.uniform(0.2, 1.1)) * (1 + mottle), 0, None).astype(np.float32)


def specks(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Platelets and grains of dye, amount of dye, shape (H, W)."""
    amount = np.zeros(shape, dtype=np.float32)
    for _ in range(int(rng.poisson(float(rng.uniform(10, 80)) * _area(shape)))):
        size = float(rng.choice([0.7, 1.1, 4.0], p=[0.72, 0.23, 0.05]))
        speck = _anywhere(rng, shape, irregular(rng, radius_px=size, elongation=1.4, roughness=0.25))
        window = speck.window(shape)
        if window is not None:
            strength = float(rng.choice([0.3, 0.5, 1.2], p=[0.6, 0.3, 0.1])) * float(rng.uniform(0.5, 1))
            amount[window] += strength * cover(speck.depth_px(window), edge_px=1.5)
    return amount


def smudges(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Remains of burst cells: ragged, granular stains; amount of dye, shape (H, W)."""
    amount = np.zeros(shape, dtype=np.float32)
    ragged, granular = textures.grain(rng, shape, scale_px=5.0), textures.grain(rng, shape, scale_px=1.0)
    for _ in range(int(rng.poisson(0.8 * _area(shape)))):
        size, elongation = float(rng.uniform(10, 30)), float(rng.uniform(1.2, 3.0))
        stain = _anywhere(rng, shape, irregular(rng, radius_px=size, elongation=elongation, roughness=0.2, bend=0.4))
        window = stain.window(shape)
        if window is not None:
            body = cover(stain.depth_px(window) + 5 * ragged[window], edge_px=8.0)
            amount[window] += float(rng.uniform(0.1, 0.3)) * body * np.clip(0.6 + 0.7 * granular[window], 0, None)
    return amount


def vacuoles(rng: np.random.Generator, shape: tuple[int, int]) -> FloatImage:
    """Round holes that fat left, 1 inside, shape (H, W)."""
    hole = np.zeros(shape, dtype=np.float32)
    for _ in range(int(rng.poisson(float(rng.choice([0.5, 4.0])) * _area(shape)))):
        size = float(np.clip(rng.lognormal(1.7, 0.8), 2, 40))
        drop = _anywhere(rng, shape, irregular(rng, radius_px=size, elongation=1.05, roughness=0.02))
        window = drop.window(shape)
        if window is not None:
            hole[window] = np.maximum(hole[window], cover(drop.depth_px(window), edge_px=2.5))
    return hole


def add_scale_bar(image: NDArray[np.uint8]) -> None:
    """Print a scale bar's box into the lower right corner, as the microscope's software does.

    Args:
        image: RGB, shape (H, W, 3), at least 20 x 80; changed in place.
    """
    height, width = image.shape[:2]
    image[height - 9 : height - 1, width - 64 : width - 3] = 70
    image[height - 8 : height - 2, width - 63 : width - 4] = 240
    image[height - 6 : height - 4, width - 37 : width - 30 : 2] = 110  # too small a number to read


def _anywhere(rng: np.random.Generator, shape: tuple[int, int], outline: Outline) -> Outline:
    return outline.moved_to((float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1]))))


def _area(shape: tuple[int, int]) -> float:
    return shape[0] * shape[1] / REFERENCE_AREA_PX
