"""Draw stained tissue sections in transmitted light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg_ext.synthetic import optics, stroma, textures
from medseg_ext.synthetic.optics import Colour
from medseg_ext.synthetic.placement import Arrangement, scatter
from medseg_ext.synthetic.shapes import FloatImage, Outline, cover, irregular

RED_CELL = (0.88, 0.12, 0.42)  # RGB that light turns to in a red cell, relative to the empty slide


@dataclass(frozen=True)
class TissueStyle:
    """A section, its stains and the optics it was seen with.

    Attributes:
        light: RGB of the empty slide, in [0, 1].
        haematoxylin: RGB that light turns to under one unit of nuclear stain, relative to `light`.
        eosin: likewise under one unit of the counterstain.
        radius_px: typical radius of a nucleus.
        per_megapixel: nuclei per million pixels, if there is room.
        elongation: typical length over width.
        aligned: how well nuclei follow the fibres: 1 is all of them, 0 none.
        roughness: of the outlines.
        stroma: amount of counterstain in the stroma.
        stroma_contrast: how much that varies along fibres.
        gaps: share of the slide that is empty.
        vessels: whether a strip of red cells runs through.
        palisade: whether a row of nuclei stands side by side, as in an epithelium.
        ghosts: how clearly the outlines of unstained cells show.
        crowding: share of nuclei that lie against another.
        unsharp: share of nuclei out of focus.
        pale: share of nuclei with pale, clumped chromatin.
        blur_px: blur of the optics.
    """

    light: Colour
    haematoxylin: Colour
    eosin: Colour
    radius_px: float
    per_megapixel: float
    elongation: float = 1.35
    aligned: float = 0.5
    roughness: float = 0.08
    stroma: float = 0.5
    stroma_contrast: float = 0.3
    gaps: float = 0.15
    vessels: bool = False
    palisade: bool = False
    ghosts: float = 0.0
    crowding: float = 0.35
    unsharp: float = 0.2
    pale: float = 0.35
    blur_px: float = 0.9


STYLES = {
    # Violet nuclei, hardly any counterstain: lymphoid tissue.
    "violet": TissueStyle(
        (0.83, 0.83, 0.845), (0.52, 0.20, 0.69), (0.92, 0.92, 0.90), 10.0, 800, elongation=1.25, aligned=0.2,
        roughness=0.06, stroma=0.3, stroma_contrast=0.3, gaps=0.25, crowding=0.45, pale=0.35, ghosts=0.6,
    ),
    # Spindle cells in lilac stroma, at low magnification.
    "lilac": TissueStyle(
        (0.735, 0.67, 0.85), (0.56, 0.28, 0.93), (0.94, 0.92, 0.98), 8.0, 440, elongation=1.9, aligned=0.85,
        roughness=0.08, stroma=0.5, stroma_contrast=0.3, gaps=0.12, palisade=True, crowding=0.25, unsharp=0.3,
        pale=0.45,
    ),
    # Large nuclei in pink stroma, with red cells in a vessel.
    "pink": TissueStyle(
        (0.93, 0.89, 0.93), (0.54, 0.28, 0.68), (0.92, 0.62, 0.84), 14.0, 300, elongation=1.45, aligned=0.6,
        roughness=0.08, stroma=0.8, stroma_contrast=0.3, gaps=0.1, vessels=True, crowding=0.3, unsharp=0.35,
        pale=0.65, blur_px=1.2,
    ),
}  # fmt: skip


def draw_tissue(
    rng: np.random.Generator, shape: tuple[int, int], style: TissueStyle
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw a colour image of a stained tissue section.

    Args:
        rng: source of randomness.
        shape: height and width.
        style: what to draw.

    Returns:
        RGB image, shape (H, W, 3), and int32 label map of its nuclei, shape (H, W).
    """
    direction = float(rng.uniform(0, np.pi))
    matter, openness = stroma.matter(
        rng,
        shape,
        direction_rad=direction,
        amount=style.stroma,
        contrast=style.stroma_contrast,
        gaps=style.gaps,
        ghosts=style.ghosts,
    )
    vessel = stroma.vessel(rng, shape, direction_rad=direction) if style.vessels else np.zeros(shape, dtype=np.float32)
    arrangement = Arrangement(shape)
    size = float(rng.lognormal(0, 0.1))
    density = np.clip(1.0 - 0.97 * openness - 2.0 * vessel, 0.0, 1.0).astype(np.float32)
    count = max(5, int(rng.poisson(style.per_megapixel * shape[0] * shape[1] / 1e6 / size**2)))
    labels = _palisade(rng, arrangement, style, size) if style.palisade else []
    labels += scatter(
        rng, arrangement, lambda rng: _nucleus(rng, style, size, direction), count=count, crowding=style.crowding,
        density=density, max_overlap=0.12,
    )  # fmt: skip

    chromatin = textures.grain(rng, shape, scale_px=0.12 * style.radius_px * size) + textures.clouds(rng, shape)
    sharp, unsharp = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for label in labels:
        blurred = rng.uniform() < style.unsharp
        _add_nucleus(rng, unsharp if blurred else sharp, arrangement.outlines[label - 1], chromatin, style)
    for _ in range(int(rng.poisson(0.12 * count))):  # smudges of nuclei that the section hardly holds: no truth
        centre = (float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1])))
        if rng.uniform() < density[int(centre[0]), int(centre[1])]:
            _add_smudge(rng, unsharp, _nucleus(rng, style, size, direction).moved_to(centre))

    nuclei = sharp + optics.defocus(unsharp, sigma_px=2.0 * style.blur_px + 0.06 * style.radius_px)
    haze = 0.1 * matter * np.clip(1 + textures.clouds(rng, shape, roughness=1.8), 0, None)
    light = optics.transmit(
        style.light,
        [(nuclei + haze, style.haematoxylin), (matter * np.clip(1 - vessel, 0, 1), style.eosin), (vessel, RED_CELL)],
    )
    sigma = style.blur_px * float(rng.uniform(0.8, 1.2))
    colours = [optics.defocus(light[..., c], sigma_px=sigma * blur) for c, blur in enumerate((1.0, 1.0, 1.4))]
    light = np.stack(colours, axis=2)  # the lens focuses blue less sharply
    light = light * optics.illumination(rng, shape, falloff=0.08)[..., None]
    light = light * rng.normal(1, 0.01, size=3).astype(np.float32)
    image = optics.quantise(optics.expose(rng, light, photons=4000, read_noise=0.004))
    return optics.compress(image, quality=int(rng.integers(80, 94))), arrangement.labels


def _nucleus(rng: np.random.Generator, style: TissueStyle, size: float, direction: float) -> Outline:
    follows = rng.uniform() < style.aligned
    return irregular(
        rng,
        radius_px=style.radius_px * size * float(rng.lognormal(0, 0.2)),
        elongation=1 + (style.elongation - 1) * float(rng.lognormal(0, 0.4)),
        angle_rad=direction + float(rng.normal(0, 0.25)) if follows else None,
        roughness=style.roughness * float(rng.lognormal(0, 0.4)),
        bend=0.2,
    )


def _palisade(rng: np.random.Generator, arrangement: Arrangement, style: TissueStyle, size: float) -> list[int]:
    """Put nuclei side by side along a wavy line; returns their labels."""
    height, width = arrangement.shape
    swing = 0.12 * height * textures.grain(rng, (1, width + 40), scale_px=35.0)[0]
    level, slope = float(rng.uniform(0.2, 0.8)) * height, float(rng.normal(0, 0.4))
    labels, column = [], 0.0
    while column < width:
        row = level + slope * (column - 0.5 * width) + swing[int(column)]
        along = float(np.arctan2(slope + swing[int(column) + 5] - swing[int(column)], 1.0))
        nucleus = irregular(
            rng,
            radius_px=style.radius_px * size * float(rng.lognormal(0, 0.12)),
            elongation=float(rng.uniform(1.3, 2.4)),
            angle_rad=along + 0.5 * np.pi + float(rng.normal(0, 0.2)),
            roughness=style.roughness,
        )
        if arrangement.add(nucleus.moved_to((row + float(rng.normal(0, 2.5)), column)), max_overlap=0.25):
            labels.append(len(arrangement.outlines))
        column += nucleus.semi_axes_px[1] * float(rng.uniform(1.5, 2.6)) * float(np.cos(along))
    return labels


def _add_nucleus(
    rng: np.random.Generator, layer: FloatImage, outline: Outline, chromatin: FloatImage, style: TissueStyle
) -> None:
    window = outline.window((layer.shape[0], layer.shape[1]))
    if window is None:
        return
    depth = outline.depth_px(window)
    clumps = np.clip(chromatin[window] * 0.7, -1.5, 1.5)
    if rng.uniform() < style.pale:  # open chromatin: pale within, dark rim, clumps
        rim = np.exp(-(((depth - 1.0) / max(1.2, 0.1 * outline.radius_px)) ** 2))
        amount = float(rng.uniform(0.4, 0.7)) * (0.8 + 0.3 * rim + 0.45 * clumps)
    else:
        dome = 0.8 + 0.3 * np.clip(depth / outline.radius_px, 0, 1)
        amount = float(rng.uniform(0.75, 1.5)) * dome * (1.0 + 0.22 * clumps)
    layer[window] += cover(depth, edge_px=1.8) * np.clip(amount, 0.05, None)


def _add_smudge(rng: np.random.Generator, layer: FloatImage, outline: Outline) -> None:
    window = outline.window((layer.shape[0], layer.shape[1]), margin_px=0)
    if window is not None:
        layer[window] += float(rng.uniform(0.08, 0.25)) * cover(outline.depth_px(window), edge_px=outline.radius_px)
