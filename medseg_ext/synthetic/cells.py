"""Draw the cells of a bone marrow smear."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from medseg_ext.synthetic import textures
from medseg_ext.synthetic.shapes import FloatImage, Outline, Window, cover, irregular, spots_within


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


@dataclass(frozen=True)
class _View:
    """What a painter needs to know of one cell, in the part of the image that holds it.

    Attributes:
        cell: the cell.
        window: the part of the image.
        stain: where to add the dyes.
        grain: textures of the image.
        depth_px: how deep each pixel lies in the cell, shape (h, w).
        nucleus_depth_px: how deep it lies in the nucleus, shape (h, w).
        basophilia: how blue the cytoplasm is in this smear.
    """

    cell: Cell
    window: Window
    stain: Stain
    grain: Grain
    depth_px: FloatImage
    nucleus_depth_px: FloatImage
    basophilia: float

    def beside_nucleus(self, *, edge_px: float = 3.0) -> FloatImage:
        """How much of each pixel cytoplasm covers, in [0, 1]."""
        return cover(self.depth_px, edge_px=edge_px) * (1 - cover(self.nucleus_depth_px, edge_px=2.0))


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
    rng: np.random.Generator, stain: Stain, cell: Cell, window: Window, grain: Grain, *, basophilia: float
) -> None:
    """Add the dyes that a cell takes up.

    Args:
        rng: source of randomness.
        stain: changed in place.
        cell: what to paint.
        window: the part of the image that holds the cell.
        grain: textures of the image.
        basophilia: how blue the cytoplasm of plasma cells is in this smear; 1 is typical.
    """
    fray = grain.fray[window]
    smooth_px = cell.outline.depth_px(window)
    nucleus_px = np.max([nucleus.depth_px(window) for nucleus in cell.nuclei], axis=0) + 0.35 * fray
    view = _View(
        cell=cell,
        window=window,
        stain=stain,
        grain=grain,
        depth_px=smooth_px + float(rng.uniform(0.4, 1.5)) * fray,
        nucleus_depth_px=np.minimum(nucleus_px, smooth_px + 1.0),
        basophilia=basophilia,
    )
    _PAINTERS[cell.kind](rng, view)


def _shifted(outline: Outline, direction_rad: float, distance_px: float) -> Outline:
    return outline.moved_to((distance_px * float(np.sin(direction_rad)), distance_px * float(np.cos(direction_rad))))


def _paint_plasma(rng: np.random.Generator, view: _View) -> None:
    nucleus, outline, window = view.cell.nuclei[0], view.cell.outline, view.window
    # The hof: a pale zone on the inner side of the nucleus, where the Golgi apparatus lies.
    middle = [0.45 * n + 0.55 * c for n, c in zip(nucleus.centre_yx, outline.centre_yx, strict=True)]
    hof = nucleus.scaled(0.95).moved_to((middle[0], middle[1]))
    pale = cover(hof.depth_px(window), edge_px=14.0) * float(rng.uniform(0.1, 0.6))
    rim = np.exp(-((np.clip(view.depth_px, 0, None) / 7.0) ** 2)) * float(rng.uniform(-0.2, 0.3))
    mottle = float(rng.uniform(0.1, 0.28)) * view.grain.cytoplasm[window]
    amount = float(rng.lognormal(0, 0.25)) * (0.9 + rim - pale + mottle)
    for strength, number, radius in ((-0.6, 3.0, 1.6), (0.7, 3.0, 1.0)):  # vacuoles, dark grains
        for spot in spots_within(rng, outline, count=int(rng.poisson(number)), radius_px=radius, spread=0.9):
            amount = amount + strength * float(rng.uniform(0.3, 1.0)) * cover(spot.depth_px(window), edge_px=1.8)
    body = view.beside_nucleus(edge_px=float(rng.uniform(1.5, 4.0)))
    view.stain.azure[window] += view.basophilia * np.clip(amount, 0, None) * body
    _paint_nucleus(rng, view, density=float(rng.normal(0.97, 0.1)), contrast=float(rng.uniform(0.25, 0.55)))


def _paint_lymphocyte(rng: np.random.Generator, view: _View) -> None:
    view.stain.azure[view.window] += 0.5 * view.basophilia * view.beside_nucleus()
    _paint_nucleus(rng, view, density=float(rng.normal(1.1, 0.14)), contrast=float(rng.uniform(0.2, 0.5)))


def _paint_erythroblast(rng: np.random.Generator, view: _View) -> None:
    view.stain.azure[view.window] += float(rng.uniform(0.2, 0.8)) * view.basophilia * view.beside_nucleus()
    view.stain.eosin[view.window] += 0.15 * view.beside_nucleus()
    _paint_nucleus(rng, view, density=float(rng.uniform(1.25, 1.8)), contrast=0.25)


def _paint_neutrophil(rng: np.random.Generator, view: _View) -> None:
    body = view.beside_nucleus()
    granules = np.clip(view.grain.granules[view.window], 0, None) * float(rng.uniform(0.1, 0.35))
    view.stain.azure[view.window] += 0.15 * body
    view.stain.eosin[view.window] += body * (0.2 + granules)
    view.stain.nuclear[view.window] += body * (0.04 + 0.5 * granules)
    _paint_nucleus(rng, view, density=float(rng.normal(1.1, 0.1)), contrast=0.35)


def _paint_myeloid(rng: np.random.Generator, view: _View) -> None:
    body = cover(view.depth_px, edge_px=3.0)  # granules lie above the nucleus, too
    granules = np.clip(view.grain.granules[view.window] - 0.3, 0, None) * float(rng.uniform(0.05, 0.6))
    view.stain.azure[view.window] += float(rng.uniform(0.2, 0.7)) * view.beside_nucleus()
    view.stain.eosin[view.window] += body * (0.1 + 0.6 * granules)
    view.stain.nuclear[view.window] += body * granules
    _paint_nucleus(rng, view, density=float(rng.uniform(0.65, 0.85)), contrast=float(rng.uniform(0.2, 0.4)))


_PAINTERS: dict[str, Callable[[np.random.Generator, _View], None]] = {
    "plasma": _paint_plasma,
    "lymphocyte": _paint_lymphocyte,
    "erythroblast": _paint_erythroblast,
    "neutrophil": _paint_neutrophil,
    "myeloid": _paint_myeloid,
}


def _paint_nucleus(rng: np.random.Generator, view: _View, *, density: float, contrast: float) -> None:
    """Add a nucleus: dark clumps as on a clock face with reddish gaps between them, a thin rim, pale nucleoli."""
    clumps = np.clip(view.grain.chromatin[view.window], -2.2, 1.6)
    rim = np.exp(-(((view.nucleus_depth_px - 1.5) / 1.8) ** 2))
    amount = density * (1.0 + contrast * clumps + 0.25 * rim)
    gaps = 0.12 + 0.8 * contrast * np.clip(-clumps - 0.2, 0, None)
    if len(view.cell.nuclei) == 1 and rng.uniform() < 0.5:
        for spot in spots_within(rng, view.cell.nuclei[0], count=int(rng.integers(1, 4)), radius_px=2.2, spread=0.7):
            pale = float(rng.uniform(0.15, 0.65)) * cover(spot.depth_px(view.window), edge_px=2.5)
            amount, gaps = amount * (1 - pale), gaps * (1 - pale)
    inside = cover(view.nucleus_depth_px, edge_px=1.6)
    view.stain.nuclear[view.window] += np.clip(amount, 0, None) * inside
    view.stain.eosin[view.window] += gaps * inside
