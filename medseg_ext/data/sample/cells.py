"""Draw the cells of a bone marrow smear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medseg_ext.data.sample import textures
from medseg_ext.data.sample.shapes import FloatImage, Outline, Window, cover, irregular, spots_within


@dataclass(frozen=True)
class Grain:
    """Textures over the whole image, of which each cell takes the part where it lies; each of shape (H, W)."""

    chromatin: FloatImage
    cytoplasm: FloatImage
    granules: FloatImage
    fray: FloatImage

    @classmethod
    def draw(cls, rng: np.random.Generator, shape: tuple[int, int]) -> Grain:
        """Draw the textures of one image."""
        return cls(
            chromatin=0.7 * textures.grain(rng, shape, scale_px=2.2) + 0.7 * textures.grain(rng, shape, scale_px=0.9),
            cytoplasm=0.6 * textures.grain(rng, shape, scale_px=1.2) + 0.8 * textures.clouds(rng, shape, roughness=1.6),
            granules=textures.grain(rng, shape, scale_px=0.8),
            fray=0.5 * textures.grain(rng, shape, scale_px=2.0) + textures.grain(rng, shape, scale_px=6.0),
        )


@dataclass(frozen=True)
class Stain:
    """Amounts of the dyes in a smear, each of shape (H, W), to be added to."""

    azure: FloatImage  # cytoplasm that holds RNA: blue
    nuclear: FloatImage  # chromatin: violet
    eosin: FloatImage  # granules: pink

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Stain:
        """A smear without any dye."""
        return cls(*(np.zeros(shape, dtype=np.float32) for _ in range(3)))


@dataclass(frozen=True)
class Cell:
    """A cell: its outline and those of the parts of its nucleus."""

    kind: str
    outline: Outline
    nuclei: tuple[Outline, ...]


Painter = Callable[[np.random.Generator, Stain, Cell, Window, Grain, float], None]


def plasma_cell(rng: np.random.Generator) -> Cell:
    """Egg-shaped, with its round nucleus towards one end."""
    outline = irregular(
        rng, radius_px=float(np.clip(rng.normal(39, 5), 27, 52)), elongation=float(rng.uniform(1.1, 1.5)),
        roughness=0.05, bend=0.06,
    )  # fmt: skip
    nucleus = irregular(
        rng, radius_px=float(np.clip(rng.normal(25.5, 2.2), 20, 31)), elongation=float(rng.uniform(1.02, 1.25)),
        roughness=0.025,
    )  # fmt: skip
    direction = outline.angle_rad + float(rng.normal(0, 0.35))
    room = max(0.0, outline.reach_px(direction) - nucleus.reach_px(direction) - 1.0)
    return Cell("plasma", outline, (_shifted(nucleus, direction, room * float(rng.uniform(0.65, 1.0))),))


def lymphocyte(rng: np.random.Generator) -> Cell:
    """A round nucleus that all but fills its cell."""
    nucleus = irregular(
        rng, radius_px=float(rng.normal(21.5, 2.5)), elongation=float(rng.uniform(1.0, 1.35)), roughness=0.05, bend=0.08
    )
    return Cell("lymphocyte", nucleus.scaled(float(rng.uniform(1.02, 1.16))), (nucleus,))


def erythroblast(rng: np.random.Generator) -> Cell:
    """A small, black nucleus in grey cytoplasm."""
    nucleus = irregular(rng, radius_px=float(rng.uniform(11.5, 17)), elongation=1.08, roughness=0.04)
    outline = irregular(rng, radius_px=nucleus.radius_px * float(rng.uniform(1.1, 1.5)), elongation=1.1)
    return Cell("erythroblast", outline, (_shifted(nucleus, float(rng.uniform(0, 6.28)), 1.5),))


def neutrophil(rng: np.random.Generator) -> Cell:
    """Three or four lobes in a chain, or a band, in pale granular cytoplasm."""
    outline = irregular(rng, radius_px=float(rng.normal(31, 2.5)), elongation=1.12, roughness=0.04)
    start, turn = float(rng.uniform(0, 6.28)), float(rng.choice([-1.0, 1.0])) * float(rng.uniform(0.7, 1.1))
    distance, radius = float(rng.uniform(0.35, 0.5)), float(rng.uniform(7.5, 10.5))
    lobes = []
    for number in range(int(rng.integers(3, 6))):
        angle = start + turn * number
        lobe = irregular(
            rng, radius_px=radius * float(rng.lognormal(0, 0.12)), elongation=float(rng.uniform(1.2, 1.8)),
            angle_rad=angle + 0.5 * np.pi + float(rng.normal(0, 0.3)), roughness=0.1,
        )  # fmt: skip
        lobes.append(_shifted(lobe, angle, distance * float(rng.uniform(0.8, 1.15)) * outline.radius_px))
    return Cell("neutrophil", outline, tuple(lobes))


def myeloid(rng: np.random.Generator) -> Cell:
    """A large cell with a large, pale nucleus near its middle."""
    outline = irregular(rng, radius_px=float(rng.normal(41, 4)), elongation=float(rng.uniform(1.05, 1.25)))
    nucleus = irregular(
        rng, radius_px=outline.radius_px * float(rng.uniform(0.68, 0.8)), elongation=float(rng.uniform(1.1, 1.4)),
        roughness=0.05, bend=0.2,
    )  # fmt: skip
    return Cell("myeloid", outline, (_shifted(nucleus, float(rng.uniform(0, 6.28)), float(rng.uniform(0, 6))),))


def moved(cell: Cell, centre_yx: tuple[float, float]) -> Cell:
    """The same cell about another centre."""
    nuclei = tuple(
        nucleus.moved_to((nucleus.centre_yx[0] + centre_yx[0], nucleus.centre_yx[1] + centre_yx[1]))
        for nucleus in cell.nuclei
    )
    return Cell(cell.kind, cell.outline.moved_to(centre_yx), nuclei)


def paint(
    rng: np.random.Generator, stain: Stain, cell: Cell, visible: Window, grain: Grain, *, basophilia: float
) -> None:
    """Add the dyes that a cell takes up.

    Args:
        rng: source of randomness.
        stain: changed in place.
        cell: what to paint.
        visible: the part of the image that holds the cell.
        grain: textures of the image.
        basophilia: how blue the cytoplasm of plasma cells is in this smear; 1 is typical.
    """
    fray = grain.fray[visible]
    smooth_depth = cell.outline.depth_px(visible)
    depth = smooth_depth + float(rng.uniform(0.4, 1.5)) * fray
    nucleus_depth = np.max([nucleus.depth_px(visible) for nucleus in cell.nuclei], axis=0) + 0.35 * fray
    nucleus_depth = np.minimum(nucleus_depth, smooth_depth + 1.0)
    _PAINTERS[cell.kind](rng, stain, cell, visible, depth, nucleus_depth, grain, basophilia)


def _shifted(outline: Outline, direction_rad: float, distance_px: float) -> Outline:
    return outline.moved_to((distance_px * float(np.sin(direction_rad)), distance_px * float(np.cos(direction_rad))))


def _paint_plasma(rng, stain, cell, visible, depth, nucleus_depth, grain, basophilia) -> None:
    nucleus = cell.nuclei[0]
    body = cover(depth, edge_px=float(rng.uniform(1.5, 4.0)))
    # The hof: a pale zone on the inner side of the nucleus, where the Golgi apparatus lies.
    middle = [0.45 * n + 0.55 * c for n, c in zip(nucleus.centre_yx, cell.outline.centre_yx, strict=True)]
    hof = nucleus.scaled(0.95).moved_to((middle[0], middle[1]))
    pale = cover(hof.depth_px(visible), edge_px=14.0) * float(rng.uniform(0.1, 0.6))
    rim = np.exp(-((np.clip(depth, 0, None) / 7.0) ** 2)) * float(rng.uniform(-0.2, 0.3))
    mottle = float(rng.uniform(0.1, 0.28)) * grain.cytoplasm[visible]
    amount = float(rng.lognormal(0, 0.25)) * (0.9 + rim - pale + mottle)
    for strength, number, radius in ((-0.6, 3.0, 1.6), (0.7, 3.0, 1.0)):  # vacuoles, dark grains
        for spot in spots_within(rng, cell.outline, count=int(rng.poisson(number)), radius_px=radius, spread=0.9):
            amount = amount + strength * float(rng.uniform(0.3, 1.0)) * cover(spot.depth_px(visible), edge_px=1.8)
    _add_nucleus(
        rng, stain, cell, visible, nucleus_depth, grain,
        density=float(rng.normal(0.97, 0.1)), contrast=float(rng.uniform(0.2, 0.5)),
    )  # fmt: skip
    free = 1 - cover(nucleus_depth, edge_px=2.0)
    stain.azure[visible] += basophilia * np.clip(amount, 0, None) * body * free


def _paint_lymphocyte(rng, stain, cell, visible, depth, nucleus_depth, grain, basophilia) -> None:
    density, contrast = float(rng.normal(1.1, 0.14)), float(rng.uniform(0.15, 0.4))
    _add_nucleus(rng, stain, cell, visible, nucleus_depth, grain, density=density, contrast=contrast)
    stain.azure[visible] += 0.5 * basophilia * cover(depth, edge_px=3.0) * (1 - cover(nucleus_depth))


def _paint_erythroblast(rng, stain, cell, visible, depth, nucleus_depth, grain, basophilia) -> None:
    _add_nucleus(rng, stain, cell, visible, nucleus_depth, grain, density=float(rng.uniform(1.25, 1.8)), contrast=0.25)
    body = cover(depth, edge_px=3.0) * (1 - cover(nucleus_depth))
    stain.azure[visible] += float(rng.uniform(0.2, 0.8)) * basophilia * body
    stain.eosin[visible] += 0.15 * body


def _paint_neutrophil(rng, stain, cell, visible, depth, nucleus_depth, grain, basophilia) -> None:
    _add_nucleus(rng, stain, cell, visible, nucleus_depth, grain, density=float(rng.normal(1.1, 0.1)), contrast=0.35)
    body = cover(depth, edge_px=3.0) * (1 - cover(nucleus_depth))
    granules = np.clip(grain.granules[visible], 0, None) * float(rng.uniform(0.1, 0.35))
    stain.eosin[visible] += body * (0.2 + granules)
    stain.nuclear[visible] += body * (0.04 + 0.5 * granules)
    stain.azure[visible] += 0.15 * body


def _paint_myeloid(rng, stain, cell, visible, depth, nucleus_depth, grain, basophilia) -> None:
    density, contrast = float(rng.uniform(0.65, 0.85)), float(rng.uniform(0.2, 0.4))
    _add_nucleus(rng, stain, cell, visible, nucleus_depth, grain, density=density, contrast=contrast)
    body = cover(depth, edge_px=3.0)
    granules = np.clip(grain.granules[visible] - 0.3, 0, None) * float(rng.uniform(0.05, 0.6))
    stain.eosin[visible] += body * (0.1 + 0.6 * granules)
    stain.nuclear[visible] += body * granules
    stain.azure[visible] += float(rng.uniform(0.2, 0.7)) * body * (1 - cover(nucleus_depth))


_PAINTERS = {
    "plasma": _paint_plasma,
    "lymphocyte": _paint_lymphocyte,
    "erythroblast": _paint_erythroblast,
    "neutrophil": _paint_neutrophil,
    "myeloid": _paint_myeloid,
}


def _add_nucleus(
    rng: np.random.Generator,
    stain: Stain,
    cell: Cell,
    visible: Window,
    depth: FloatImage,
    grain: Grain,
    *,
    density: float,
    contrast: float,
) -> None:
    """Add a nucleus: dark clumps as on a clock face with reddish gaps between them, a thin rim, pale nucleoli."""
    clumps = np.clip(grain.chromatin[visible], -2.2, 1.6)
    rim = np.exp(-(((depth - 1.5) / 1.8) ** 2))
    amount = density * (1.0 + contrast * clumps + 0.25 * rim)
    gaps = 0.12 + 0.8 * contrast * np.clip(-clumps - 0.3, 0, None)
    if len(cell.nuclei) == 1 and rng.uniform() < 0.5:
        for spot in spots_within(rng, cell.nuclei[0], count=int(rng.integers(1, 4)), radius_px=2.2, spread=0.7):
            pale = float(rng.uniform(0.15, 0.65)) * cover(spot.depth_px(visible), edge_px=2.5)
            amount, gaps = amount * (1 - pale), gaps * (1 - pale)
    inside = cover(depth, edge_px=1.6)
    stain.nuclear[visible] += np.clip(amount, 0, None) * inside
    stain.eosin[visible] += gaps * inside
