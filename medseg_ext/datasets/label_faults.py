"""Find labels that look wrong, by one label map and its image."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.fft import dctn, idctn, irfft2, next_fast_len, rfft2
from skimage.morphology import convex_hull_image
from skimage.segmentation import find_boundaries

from medseg_ext.datasets.scattered_labels import are_scattered
from medseg_ext.images.fingerprints import orientations

BACKGROUND_SHARE = 0.9  # of an image, in one object; or half of it, and half of its border
TINY_PX, LEAST_PX = 8, 4  # an object of 8 px is tiny among larger ones, one of 4 px always
PIECE_PX, PIECE_SHARE = 10, 0.05  # size of a second piece, in pixels and as a part of the object
# An object looks like two where it is larger than usual, hollow, and has a waist. Of 4,578 objects of DSB2018 14 do, of
# 293 of SegPC-2021 none; of pairs of touching objects there under one number a third and nine tenths do.
TWO_AREAS, TWO_SOLIDITY, TWO_WAIST = 1.3, 0.92, 0.75
TWO_LEAST_PX = 60
SECOND_LOBE = 0.6  # depth of the smaller of two lobes, of that of the larger
# Edges on the outlines, in standard deviations of those of the image. Where labels fit, they are .52 and more (481
# images of DSB2018 and SegPC-2021), and more than half of what the best shift of the labels gives.
FOLLOWS = 0.25
FITS_ELSEWHERE, FITS_BETTER = 0.8, 2.0
SHIFT_PX = 3.0  # annotators differ by less
REGISTERED_PX = 640  # longer side at which labels are laid over their image, at most
LEAST_OUTLINE_PX = 100


class LabelFacts(NamedTuple):
    """What one label map tells.

    Attributes:
        areas_px: of the objects, int (N,).
        numbers: their numbers, int (N,).
        is_cut: whether the border of the image cuts each, bool (N,): what is left may be small, and in pieces.
        backgrounds: numbers of objects that hold nearly the whole image.
        in_pieces: of those in several separate pieces.
        like_two: of those that look like two objects that touch, compared with the others of the map.
        is_scattered: whether its values lie as those of a photograph.
    """

    areas_px: NDArray[np.int64]
    numbers: NDArray[np.int64]
    is_cut: NDArray[np.bool_]
    backgrounds: list[int]
    in_pieces: list[int]
    like_two: list[int]
    is_scattered: bool = False


def measure_labels(labels: np.ndarray) -> LabelFacts:
    """Measure a label map, integers (H, W), 0 the background."""
    numbers, dense = np.unique(labels, return_inverse=True)
    if not len(numbers) or numbers[0] != 0:  # no background: the first object is 1 all the same
        numbers, dense = np.concatenate([[0], numbers]), dense + 1
    dense = dense.reshape(labels.shape)
    is_scattered = are_scattered(dense)
    areas = np.bincount(dense.ravel(), minlength=len(numbers))[1:]
    usual = float(np.median(areas)) if len(areas) else 0.0
    is_cut = np.isin(np.arange(1, len(numbers)), _border(dense))
    backgrounds, in_pieces, like_two = [], [], []
    for place, box in enumerate(ndimage.find_objects(dense)):
        number, area = int(numbers[place + 1]), int(areas[place])
        if box is None:
            continue
        mask = dense[box] == place + 1
        if 2 * area > labels.size and _is_background(dense == place + 1):
            backgrounds.append(number)
            continue
        pieces, count = ndimage.label(mask, structure=np.ones((3, 3)))
        if (
            count > 1
            and not is_cut[place]
            and sorted(np.bincount(pieces.ravel())[1:])[-2] >= max(PIECE_PX, PIECE_SHARE * area)
        ):
            in_pieces.append(number)
        elif area >= TWO_LEAST_PX and area > TWO_AREAS * usual and looks_like_two(mask):
            like_two.append(number)
    return LabelFacts(areas, numbers[1:].astype(np.int64), is_cut, backgrounds, in_pieces, like_two, is_scattered)


def _is_background(mask: NDArray[np.bool_]) -> bool:
    return bool(mask.mean() > BACKGROUND_SHARE or _border(mask).mean() > 0.5)


def _border(pixels: np.ndarray) -> np.ndarray:
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def looks_like_two(mask: NDArray[np.bool_]) -> bool:
    """Say whether an object, bool (H, W), has a waist between two lobes of like depth.

    >>> rows, columns = np.mgrid[:40, :70]
    >>> discs = [np.hypot(rows - 20, columns - centre) < 16 for centre in (18, 48)]
    >>> looks_like_two(discs[0]), looks_like_two(discs[0] | discs[1])
    (False, True)
    """
    if mask.sum() > TWO_SOLIDITY * convex_hull_image(mask).sum():
        return False
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    deepest = float(depth.max())
    for level in np.linspace(0.9, 0.1, 17) * deepest:
        parts, count = ndimage.label(depth > level)
        if count < 2:
            continue
        second = sorted(ndimage.maximum(depth, parts, range(1, count + 1)))[-2]
        if second >= SECOND_LOBE * deepest and level <= TWO_WAIST * second:
            return True
    return False


class Fit(NamedTuple):
    """How labels lie over their image.

    Attributes:
        follows: whether their outlines follow edges of the image, where they are or elsewhere.
        shift_px: (rows, columns) by which they are off their image, None where they are not.
        is_turned: they fit the image when they are turned or mirrored.
    """

    follows: bool = True
    shift_px: tuple[int, int] | None = None
    is_turned: bool = False


def fit_of_labels(image: NDArray[np.uint8], labels: np.ndarray) -> Fit:
    """Lay the outlines of a label map, (H, W), over the edges of its image, uint8 (H, W, C).

    Shifts of up to three diameters of a usual object, and a quarter of the shorter side, are tried. Too few outlines
    tell nothing: then they fit.
    """
    step = math.ceil(max(labels.shape) / REGISTERED_PX)
    outlines = find_boundaries(labels[::step, ::step], mode="inner").astype(np.float32)
    if outlines.sum() < LEAST_OUTLINE_PX:
        return Fit()
    areas = np.bincount(labels.ravel())[1:]
    diameter = 2 * math.sqrt(float(np.median(areas[areas > 0])) / math.pi) / step
    edges = _edges(image[::step, ::step], diameter)
    here = float((edges * outlines).sum() / outlines.sum())
    reach = int(min(min(outlines.shape) // 4, max(16, 3 * diameter)))
    values = _correlations(edges, outlines, reach)
    row, column = np.unravel_index(int(values.argmax()), values.shape)
    shift = (int(row) - reach) * step, (int(column) - reach) * step
    best = float(values.max())
    turned = max(
        (float((edges * each).sum() / outlines.sum()) for each in orientations(outlines) if each.shape == edges.shape),
        default=here,
    )
    if turned > max(FITS_ELSEWHERE, FITS_BETTER * here, 1.5 * best):
        return Fit(is_turned=True)
    if best > max(FITS_ELSEWHERE, FITS_BETTER * here) and math.hypot(*shift) > SHIFT_PX:
        return Fit(shift_px=(-shift[0], -shift[1]))
    return Fit(follows=here > FOLLOWS)


def _edges(image: NDArray[np.uint8], diameter: float) -> np.ndarray:
    """Give the strength of edges beyond that of their surroundings, its standard deviation 1; float (H, W)."""
    channels = np.moveaxis(image.astype(np.float32), -1, 0)
    slopes = [ndimage.gaussian_gradient_magnitude(channel, 1) for channel in channels]
    strength = np.max(slopes, axis=0)
    strength = np.sqrt(np.minimum(strength, np.percentile(strength, 99)))  # a speck of dirt is not all
    strength -= _blurred(strength, 2 * diameter)
    return strength / max(float(strength.std()), 1e-6)


def _blurred(values: np.ndarray, sigma: float) -> np.ndarray:
    """Blur an image, float (H, W), that is mirrored at its borders, by a Gaussian in which a filter would be slow.

    >>> values = np.random.default_rng(0).random((40, 30))
    >>> bool(np.allclose(_blurred(values, 9), ndimage.gaussian_filter(values, 9), atol=1e-4))
    True
    """
    rows, columns = (np.exp(-((np.pi * sigma * np.arange(side) / side) ** 2) / 2) for side in values.shape)
    return idctn(dctn(values) * np.outer(rows, columns).astype(values.dtype))


def _correlations(edges: np.ndarray, outlines: np.ndarray, reach: int) -> np.ndarray:
    """Give the mean of the edges on outlines that are shifted by up to `reach`; float (2 reach + 1, 2 reach + 1)."""
    size = [next_fast_len(side + 2 * reach) for side in edges.shape]
    wave = rfft2(edges, s=size) * np.conj(rfft2(outlines, s=size))
    values = np.roll(irfft2(wave, s=size), (reach, reach), axis=(0, 1))
    return values[: 2 * reach + 1, : 2 * reach + 1] / outlines.sum()
