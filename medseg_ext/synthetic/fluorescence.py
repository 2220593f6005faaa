"""Draw cultured cells whose nuclei fluoresce on a dark background."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medseg_ext.synthetic import optics, textures
from medseg_ext.synthetic.placement import Arrangement, scatter
from medseg_ext.synthetic.shapes import FloatImage, Outline, cover, irregular, spots_within, tilt


@dataclass(frozen=True)
class FluorescenceStyle:
    """A culture and the camera settings it was seen with.

    Attributes:
        radius_px: typical radius of a nucleus.
        per_megapixel: nuclei per million pixels, if there is room.
        light: light of a typical nucleus, as a share of full scale.
        background: light where there is nothing.
        contrast: spread of the logarithm of light between nuclei.
        elongation: typical length over width.
        roughness: of the outlines.
        bend: of the outlines.
        texture: contrast of the chromatin.
        texture_px: size of its grains.
        bright_spots: typical number of chromocentres.
        dark_spots: typical number of nucleoli.
        rim: how much brighter the chromatin at the membrane is.
        mitotic: share of nuclei that divide: small, ragged, far brighter.
        crowding: share of nuclei that lie against another.
        patchiness: how much cell density varies over the image, in [0, 1].
        unsharp: share of nuclei out of focus.
        haze: light scattered around nuclei, as a share of theirs.
        blur_px: blur of the optics.
        photons: photons at full scale; the fewer, the noisier.
    """

    radius_px: float
    per_megapixel: float
    light: float
    background: float
    contrast: float = 0.3
    elongation: float = 1.35
    roughness: float = 0.05
    bend: float = 0.08
    texture: float = 0.1
    texture_px: float = 1.5
    bright_spots: float = 0.0
    dark_spots: float = 2.0
    rim: float = 0.0
    mitotic: float = 0.0
    crowding: float = 0.3
    patchiness: float = 0.5
    unsharp: float = 0.1
    haze: float = 0.06
    blur_px: float = 0.9
    photons: float = 2500.0


STYLES = {
    # Large, dim and well apart, as at high magnification.
    "large": FluorescenceStyle(
        26.0, 160, 0.15, 0.016, contrast=0.22, elongation=1.45, roughness=0.07, bend=0.16, texture=0.1, texture_px=1.3,
        crowding=0.25, patchiness=0.2, unsharp=0.03, blur_px=1.0, haze=0.03,
    ),
    # A confluent monolayer with dividing, saturated nuclei.
    "monolayer": FluorescenceStyle(
        8.0, 1300, 0.30, 0.052, contrast=0.35, elongation=1.4, mitotic=0.1, crowding=0.45, patchiness=0.8,
    ),
    # Round, granular nuclei in clumps, much of it out of focus.
    "clumped": FluorescenceStyle(
        9.0, 750, 0.30, 0.03, contrast=0.3, elongation=1.15, roughness=0.06, texture=0.3, texture_px=1.2,
        bright_spots=4.0, dark_spots=0.0, crowding=0.65, patchiness=0.9, unsharp=0.3, haze=0.1, blur_px=1.0,
    ),
    # Few small nuclei of very unequal light, with debris.
    "sparse": FluorescenceStyle(
        9.5, 420, 0.42, 0.03, contrast=0.55, elongation=1.3, mitotic=0.05, crowding=0.3, patchiness=0.6, photons=900,
    ),
    # Bright nuclei in several layers, only one of which is in focus.
    "layered": FluorescenceStyle(
        15.0, 420, 0.50, 0.02, contrast=0.45, elongation=1.35, roughness=0.05, texture=0.28, texture_px=1.3, rim=0.5,
        bright_spots=3.0, dark_spots=3.0, crowding=0.6, patchiness=0.9, unsharp=0.4, haze=0.22, blur_px=1.0,
    ),
    # A field seen by a poor camera: dim, noisy, unsharp.
    "murky": FluorescenceStyle(
        11.0, 650, 0.12, 0.05, contrast=0.3, elongation=1.5, crowding=0.35, patchiness=0.4, unsharp=0.35, haze=0.15,
        blur_px=1.6, photons=500,
    ),
}  # fmt: skip


def draw_fluorescence(
    rng: np.random.Generator, shape: tuple[int, int], style: FluorescenceStyle
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw a grey image of fluorescent nuclei.

    Args:
        rng: source of randomness.
        shape: height and width.
        style: what to draw.

    Returns:
        RGB image with equal channels, shape (H, W, 3), and int32 label map of its nuclei, shape (H, W).
    """
    arrangement = Arrangement(shape)
    size = float(rng.lognormal(0, 0.08))
    density = np.clip(0.55 + 0.5 * style.patchiness * textures.grain(rng, shape, scale_px=0.2 * min(shape)), 0.02, 1)
    count = max(4, int(rng.poisson(style.per_megapixel * shape[0] * shape[1] / 1e6)))
    dividing = int(rng.binomial(count, style.mitotic))
    normal = scatter(
        rng, arrangement, lambda rng: _interphase(rng, style, size), count=count - dividing,
        crowding=style.crowding, density=density,
    )  # fmt: skip
    mitotic = scatter(rng, arrangement, lambda rng: _mitotic(rng, style, size), count=dividing, density=density)

    chromatin = textures.grain(rng, shape, scale_px=style.texture_px) + 0.9 * textures.clouds(rng, shape)
    sharp, unsharp = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    for label in normal:
        layer = unsharp if rng.uniform() < style.unsharp else sharp
        light = style.light * float(rng.lognormal(0, style.contrast))
        _add_interphase(rng, layer, arrangement.outlines[label - 1], chromatin, style, light=light)
    for label in mitotic:
        light = style.light * float(rng.uniform(2.2, 4.0))
        _add_solid(sharp, arrangement.outlines[label - 1], light=light, edge_px=2.0)
    for outline in _debris(rng, shape, count=int(rng.poisson(2 + 8 * style.mitotic))):
        _add_solid(sharp, outline, light=style.light * float(rng.uniform(0.3, 1.5)), edge_px=2.0)

    picture = sharp + optics.defocus(unsharp, sigma_px=2.2 * style.blur_px)
    picture += style.haze * optics.defocus(picture, sigma_px=1.2 * style.radius_px)
    picture += 0.03 * style.light * _cytoplasm(rng, shape, picture / style.light, style)
    picture += style.background * (1 + 0.12 * textures.clouds(rng, shape, roughness=2.0))
    picture = optics.defocus(picture, sigma_px=style.blur_px) * optics.illumination(rng, shape, falloff=0.25)
    grey = optics.quantise(optics.expose(rng, picture, photons=style.photons, read_noise=0.0025))
    return np.repeat(grey[..., None], 3, axis=2), arrangement.labels


def _interphase(rng: np.random.Generator, style: FluorescenceStyle, size: float) -> Outline:
    return irregular(
        rng,
        radius_px=style.radius_px * size * float(rng.lognormal(0, 0.16)),
        elongation=style.elongation * float(rng.lognormal(0, 0.13)),
        roughness=style.roughness,
        bend=style.bend,
    )


def _mitotic(rng: np.random.Generator, style: FluorescenceStyle, size: float) -> Outline:
    radius = style.radius_px * size * float(rng.uniform(0.5, 0.75))
    return irregular(rng, radius_px=radius, elongation=float(rng.uniform(1.0, 2.4)), roughness=0.12, bend=0.05)


def _debris(rng: np.random.Generator, shape: tuple[int, int], *, count: int) -> list[Outline]:
    specks = [
        irregular(rng, radius_px=float(rng.uniform(0.6, 1.8)), elongation=1.4, roughness=0.2) for _ in range(count)
    ]
    return [speck.moved_to((float(rng.uniform(0, shape[0])), float(rng.uniform(0, shape[1])))) for speck in specks]


def _add_interphase(
    rng: np.random.Generator,
    layer: FloatImage,
    outline: Outline,
    chromatin: FloatImage,
    style: FluorescenceStyle,
    *,
    light: float,
) -> None:
    window = outline.window((layer.shape[0], layer.shape[1]))
    if window is None:
        return
    depth = outline.depth_px(window)
    thickness = 0.72 + 0.28 * np.clip(depth / (0.7 * outline.radius_px), 0, 1) ** 0.7
    slope = tilt(rng, depth.shape, spread=0.1)
    inner = 1 + style.texture * float(rng.lognormal(0, 0.3)) * np.clip(chromatin[window], -2.0, 2.5)
    inner += style.rim * np.exp(-(((depth - 1.5) / 2.0) ** 2))
    for strength, spots in (
        (
            -0.28,
            spots_within(rng, outline, count=int(rng.poisson(style.dark_spots)), radius_px=0.13 * outline.radius_px),
        ),
        (
            0.7,
            spots_within(rng, outline, count=int(rng.poisson(style.bright_spots)), radius_px=0.15 * outline.radius_px),
        ),
    ):
        for spot in spots:
            edge = max(1.5, spot.radius_px)
            inner += strength * float(rng.uniform(0.3, 1.0)) * cover(spot.depth_px(window), edge_px=edge)
    layer[window] += light * cover(depth, edge_px=2.0) * thickness * slope * np.clip(inner, 0.2, None)


def _add_solid(layer: FloatImage, outline: Outline, *, light: float, edge_px: float) -> None:
    window = outline.window((layer.shape[0], layer.shape[1]))
    if window is not None:
        layer[window] += light * cover(outline.depth_px(window), edge_px=edge_px)


def _cytoplasm(
    rng: np.random.Generator, shape: tuple[int, int], nuclei: FloatImage, style: FluorescenceStyle
) -> FloatImage:
    """Faint strands around nuclei, where the dye also binds outside of them."""
    near = np.clip(optics.defocus(nuclei, sigma_px=1.5 * style.radius_px) * 2.5, 0, 1)
    strands = textures.fibres(
        rng, shape, angle_rad=float(rng.uniform(0, np.pi)), length_px=style.radius_px, width_px=3.0
    )
    return near * np.clip(0.5 + 0.7 * strands, 0, None)
