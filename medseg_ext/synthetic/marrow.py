"""Draw bone marrow smears in which plasma cells lie among other cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg_ext.synthetic import backdrop, cells, optics
from medseg_ext.synthetic.backdrop import REFERENCE_AREA_PX
from medseg_ext.synthetic.placement import Arrangement, scatter
from medseg_ext.synthetic.shapes import FloatImage

# RGB that light turns to under one unit of each, relative to the empty slide.
LIGHTS = ((0.80, 0.79, 0.80), (0.81, 0.80, 0.81), (0.84, 0.80, 0.84), (0.92, 0.80, 0.92))
AZURES = ((0.74, 0.72, 0.87), (0.68, 0.68, 0.86), (0.72, 0.78, 0.86), (0.58, 0.62, 0.86))
NUCLEAR = (0.50, 0.34, 0.76)
EOSIN = (0.84, 0.62, 0.82)
RED_CELLS = ((0.83, 0.82, 0.78), (0.86, 0.84, 0.80), (0.82, 0.83, 0.79), (0.88, 0.74, 0.76))
FLUID = (0.93, 0.92, 0.955)  # dried between the cells


@dataclass(frozen=True)
class Smear:
    """A drawn smear.

    Attributes:
        image: RGB, uint8, shape (H, W, 3).
        cells: int32 label map of the plasma cells, nucleus and cytoplasm, shape (H, W).
        nuclei: where a plasma cell's nucleus is, bool, shape (H, W).
    """

    image: NDArray[np.uint8]
    cells: NDArray[np.int32]
    nuclei: NDArray[np.bool_]


def draw_smear(rng: np.random.Generator, shape: tuple[int, int]) -> Smear:
    """Draw a smear; only plasma cells are in its truth.

    Args:
        rng: source of randomness.
        shape: height and width.
    """
    arrangement, placed = _place_cells(rng, shape)
    grain = cells.Grain.draw(rng, shape)
    stain = cells.Stain.none(shape)
    basophilia = float(rng.lognormal(0.0, 0.25))
    for cell in placed:
        window = cell.outline.window(shape)
        if window is not None:
            cells.paint(rng, stain, cell, window, grain, basophilia=basophilia)

    covered = (arrangement.labels > 0).astype(np.float32)
    red = backdrop.red_cells(rng, shape, density=1 - optics.defocus(covered, sigma_px=2.0))
    stain.nuclear[:] += backdrop.specks(rng, shape) + backdrop.smudges(rng, shape)
    image = _photograph(
        rng, stain, red, backdrop.fluid(rng, shape), backdrop.vacuoles(rng, shape) * (1 - 0.85 * covered)
    )
    if rng.uniform() < 0.5:
        backdrop.add_scale_bar(image)

    truth, nuclei = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=bool)
    for label, cell in enumerate(placed, start=1):
        window = cell.outline.window(shape)
        if cell.kind == "plasma" and window is not None:
            own = arrangement.labels[window] == label
            truth[window][own] = truth.max() + 1
            nuclei[window] |= own & (cell.nuclei[0].depth_px(window) > 0)
    return Smear(image, truth, nuclei)


def _place_cells(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Arrangement, list[cells.Cell]]:
    arrangement = Arrangement(shape)
    placed: list[cells.Cell] = []
    cellularity = float(rng.lognormal(0.05, 0.3)) * shape[0] * shape[1] / REFERENCE_AREA_PX
    for draw, mean, crowding in (
        (cells.plasma_cell, 5.5, 0.5),
        (cells.myeloid, 1.2, 0.3),
        (cells.neutrophil, 1.2, 0.3),
        (cells.lymphocyte, 9.0, 0.5),
        (cells.erythroblast, 3.0, 0.6),
    ):
        for _ in range(max(2 if draw is cells.plasma_cell else 0, int(rng.poisson(mean * cellularity)))):
            cell = draw(rng)
            labels = scatter(
                rng, arrangement, lambda rng, cell=cell: cell.outline,  # type: ignore[misc]
                count=1, crowding=crowding, max_overlap=0.06, overhang=0.0 if cell.kind == "plasma" else 0.6,
            )  # fmt: skip
            placed += [cells.moved(cell, arrangement.outlines[label - 1].centre_yx) for label in labels]
    return arrangement, placed


def _photograph(
    rng: np.random.Generator, stain: cells.Stain, red: FloatImage, fluid: FloatImage, hole: FloatImage
) -> NDArray[np.uint8]:
    shape = (red.shape[0], red.shape[1])
    remains = 1 - hole
    pinkish = rng.uniform() < 0.1  # the camera's white balance is off
    exposure = float(rng.normal(1, 0.03))
    light = [exposure * value for value in _varied(rng, LIGHTS[3 if pinkish else int(rng.integers(3))], spread=0.008)]
    layers = [
        (stain.azure, _varied(rng, AZURES[int(rng.choice(4, p=[0.4, 0.25, 0.2, 0.15]))])),
        (stain.nuclear, _varied(rng, NUCLEAR)),
        (stain.eosin, _varied(rng, EOSIN)),
        (red, _varied(rng, RED_CELLS[3 if pinkish else int(rng.integers(3))], spread=0.012)),
        (fluid, _varied(rng, FLUID, spread=0.01)),
    ]
    picture = optics.transmit((light[0], light[1], light[2]), [(amount * remains, colour) for amount, colour in layers])
    picture = optics.defocus(picture, sigma_px=float(rng.uniform(0.4, 0.9)))
    picture = picture * optics.illumination(rng, shape, falloff=0.12)[..., None]
    image = optics.quantise(optics.expose(rng, picture, photons=6000, read_noise=0.003))
    return optics.compress(image, quality=int(rng.integers(82, 95)))


def _varied(rng: np.random.Generator, colour: optics.Colour, *, spread: float = 0.02) -> optics.Colour:
    red, green, blue = (float(np.clip(value * rng.normal(1, spread), 0.05, 0.98)) for value in colour)
    return red, green, blue
