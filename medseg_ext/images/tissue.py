"""Find where a whole slide shows tissue."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

from medseg_ext.images.blocks import BlockImage
from medseg_ext.images.boxes import Box

# Side of the places that are told apart, at least: some nuclei wide, so that one of them alone still darkens its own.
PLACE_PX = 32
# By how much a place of a stained slide differs from glass, in brightness or in colour, from where on it is tissue: as
# Otsu's threshold has it, within these bounds. Pale stroma differs by 0.1 of full light, JPEG's noise in glass by 0.01.
LEAST_STAIN, SURE_STAIN = 0.015, 0.05
SURE_LIGHT = 0.04  # likewise of a slide with dark ground, as a share of what its places span
LEAST_GLASS = 0.7  # brightness: the grey ground of phase contrast is none, from which cells hardly differ on average
NOT_SCANNED = 0.01  # scanners leave black what they leave out; ink is not as black


class Tissue(NamedTuple):
    """Where a slide shows tissue.

    Attributes:
        places: bool; whether each place shows any.
        side_px: of a place, in pixels of the image.
    """

    places: NDArray[np.bool_]
    side_px: int

    def touches(self, box: Box) -> bool:
        """Say whether a box, or a place beside it, shows tissue."""
        top, left = (max(0, start // self.side_px - 1) for start in box[:2])
        bottom, right = (-(-end // self.side_px) + 1 for end in box[2:])
        return bool(self.places[top:bottom, left:right].any())


def find_tissue(image: BlockImage, *, apart: bool = False) -> Tissue:
    """Tell tissue from the glass, or the dark ground, of a slide with levels; in doubt, a place is tissue.

    Places are read from the smallest level whose pixels are no wider than they are.

    Args:
        image: the slide.
        apart: whether its channels have nothing to do with each other: what one of them shows is tissue, however dim
            that is beside the others.
    """
    side = image.finest_enough(PLACE_PX)
    seen = image.read_shrunk(Box(0, 0, *image.size), side)
    parts = np.split(seen, seen.shape[-1], axis=-1) if apart else [seen]
    found = [_brighter_than_ground(part) if _has_dark_ground(part) else _unlike_glass(part) for part in parts]
    return Tissue(np.any(found, axis=0), side)


def _has_dark_ground(seen: np.ndarray) -> bool:
    """Say whether a slide is one of fluorescence: glass lets most light through, and no stain takes all of it."""
    light = seen.max(axis=-1)
    scanned = light[light > NOT_SCANNED]
    if not len(scanned):
        return True
    dark, bright = np.percentile(scanned, (2, 98))
    return bool(bright < 0.5 or dark < bright / 6)


def _unlike_glass(seen: np.ndarray) -> NDArray[np.bool_]:
    scanned = seen.max(axis=-1) > NOT_SCANNED
    glass = np.percentile(seen[scanned], 98, axis=0)  # the brightest places
    if glass.max() < LEAST_GLASS:
        return np.ones(scanned.shape, dtype=bool)
    # Where there is no glass, tissue is the brightest: but it has colour, and glass has none.
    colour = np.ptp(seen, axis=-1) - np.ptp(glass) * (np.ptp(glass) < SURE_STAIN)
    unlike = np.maximum((glass - seen).max(axis=-1), colour)
    least = float(np.clip(_otsu(unlike[scanned]), LEAST_STAIN, SURE_STAIN))
    places: NDArray[np.bool_] = scanned & (unlike > least)
    return places


def _brighter_than_ground(seen: np.ndarray) -> NDArray[np.bool_]:
    light = seen.max(axis=-1)
    ground, bright = np.percentile(light, (1, 99.9))
    places: NDArray[np.bool_] = light > ground + min(_otsu(light) - ground, SURE_LIGHT * (bright - ground))
    return places


def _otsu(values: np.ndarray) -> float:
    return float(threshold_otsu(values)) if np.ptp(values) > 0 else float(values.flat[0])
