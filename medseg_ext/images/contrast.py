"""Say which values of an image become black and white, so that its objects are seen and its noise is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri  # scipy.stats takes seconds to be loaded

from medseg_ext.images.boxes import Box
from medseg_ext.images.percentiles import percentiles_of

PLACES, PLACE_PX = 9, 1024  # where noise and detail are measured, and the side of each

# Standard deviations of the noise between black and white, at least. Pure noise spans 6 (the percentiles 0.1 and 99.9);
# of 866 images of microscopes (DSB2018, SegPC-2021, TNBC, MoNuSeg, BBBC039) none spans fewer than 33.
LEAST_NOISES = 10
# By how much an image is stretched less that shows nothing but noise and a slope of brightness: networks see it flat.
FLATTENED = 20
# There is detail where the blocks that differ most from their neighbours do so by this many standard deviations more
# than white noise lets expect. Empty glass and dark frames reach 0.9; images of microscopes have 53 and more, or 3
# where noise of 2 levels is added to a contrast of 8.
LEAST_DETAIL = 1.5
# Noise that neighbouring pixels share, by a camera's colour filter, JPEG or a blur, does so, too. But it is finer than
# objects: everywhere, blocks of 2 pixels differ more than blocks of 8, by this factor. Noise in a JPEG of quality 75 to
# 90 has 1.7 and more; images of microscopes have 0.9 at most.
FINEST = 1.3
SHARED_NOISE = 3.5  # standard deviations of the noise of pixels by which such blocks of 2 differ; of white noise 3
# A JPEG makes steps of noise: where its grid of 8 pixels is seen, neighbours differ that much more across its lines
# than between them (white noise 1.1, empty glass of qualities 50 to 90 2.2 and more). There, blocks are detail that
# differ by more than the steps of quality 50, which add up to 5.8 levels of 255 in blue (grey 16 / 8, and 1.77 times
# 17 / 8). In images of microscopes, as they are or saved at quality 60 or 75, some do so by 8.2 and more.
GRID_OF_JPEG = 1.5
STEPS_OF_JPEG = 6 / 255


class Contrast(NamedTuple):
    """What stretches an image.

    Attributes:
        black: the value that becomes 0.
        white: the value that becomes 1.
        places: parts of the image that show something, spread over it, and unlike each other in how much they show.
    """

    black: float
    white: float
    places: list[Box]


class ContrastApart(NamedTuple):
    """The same for channels that have nothing to do with each other.

    Attributes:
        black, white: of each channel.
        places: of each channel in turn, at most `PLACES`.
    """

    black: tuple[float, ...]
    white: tuple[float, ...]
    places: list[Box]


Limit = float | tuple[float, ...]
"""A value of all channels, or of each."""


def find_contrast(
    read: Callable[[Box], np.ndarray],
    size: tuple[int, int],
    percentages: Sequence[float],
    *,
    watch: Callable[[Sequence[Box]], Iterable[Box]] = iter,
    wanted: Callable[[Box], bool] = lambda part: True,
) -> Contrast:
    """Find what stretches an image to its own contrast, but not its noise.

    Black and white are two percentiles of its values. They are moved apart where they hold less than `LEAST_NOISES`
    standard deviations of the noise, and where there is nothing but noise and a slope of brightness, as in empty glass
    and dark frames: stretched to full contrast, noise looks like nuclei. The median keeps its relative place.

    Args:
        read: gives a part of the image, float32 (h, w, C); it is called two or three times for each.
        size: (H, W).
        percentages: those of black and white, such as 0.1 and 99.9.
        watch: hands on the parts of one look at the image, such as a progress bar.
        wanted: says which parts of the image count; if none does, all do.

    Source: the noise is that of Immerkaer, Fast Noise Variance Estimation, CVIU 64, 1996; here by a percentile, which
        edges do not disturb.
    """
    parts = [
        Box(top, left, min(top + PLACE_PX, size[0]), min(left + PLACE_PX, size[1]))
        for top in range(0, size[0], PLACE_PX)
        for left in range(0, size[1], PLACE_PX)
    ]
    parts = [part for part in parts if wanted(part)] or parts
    shown: dict[Box, float] = {}

    def values() -> Iterable[np.ndarray]:
        for part in watch(parts):
            pixels = read(part)
            # Weighed by the part's size: a sliver at the image's end shows little.
            shown.setdefault(part, float(pixels.std()) * math.prod(part.size))
            yield pixels

    black, median, white = percentiles_of(values, (percentages[0], 50, percentages[1]))
    regions = _regions(shown)
    places = [parts[0] for parts in regions]
    looks = [_look(read(place), black, white) for place in places]
    span = white - black
    noise = float(np.median([look.noise for look in looks]))
    clipped = (np.clip(_without_copies(read(place)), black, white) for place in places)
    has_detail = _shows_more_than_noise(looks, noise) and _shows_more_than_jpeg(looks, clipped)
    least_span = max(span if has_detail else span * FLATTENED, LEAST_NOISES * noise)
    if least_span > span:
        black -= (least_span - span) * ((median - black) / span if span > 0 else 0.5)
        white = black + least_span
    if white == black:
        white = black + 1
    return Contrast(black, white, _samples(regions, shown))


def find_contrast_apart(
    read: Callable[[Box], np.ndarray], size: tuple[int, int], percentages: Sequence[float], **options: Any
) -> ContrastApart:
    """Find what stretches each channel of an image by itself; see `find_contrast`."""
    n_channels = read(Box(0, 0, 1, 1)).shape[-1]

    def of_channel(number: int) -> Callable[[Box], np.ndarray]:
        return lambda box: read(box)[..., number : number + 1]

    found = [find_contrast(of_channel(number), size, percentages, **options) for number in range(n_channels)]
    in_turn = [place for places in zip_longest(*(each.places for each in found)) for place in places if place]
    black, white = (tuple(getattr(each, name) for each in found) for name in ("black", "white"))
    return ContrastApart(black, white, list(dict.fromkeys(in_turn))[:PLACES])


def stretch(pixels: np.ndarray, black: Limit, white: Limit) -> np.ndarray:
    """Stretch an image or a part of it, float32 (..., C), so that black becomes 0 and white 1; beyond, it is clipped.

    Args:
        pixels: channels last.
        black: one value, or one of each channel.
        white: likewise.
    """
    low, span = (np.asarray(each).astype(np.float32) for each in (black, np.subtract(white, black)))
    stretched: np.ndarray = ((pixels - low) / span).clip(0, 1)
    return stretched


def _regions(shown: Mapping[Box, float]) -> list[list[Box]]:
    """Divide the parts of an image into at most `PLACES` regions; in each those first that show more."""
    rows, columns = (
        {start: number for number, start in enumerate(sorted({part[side] for part in shown}))} for side in (0, 1)
    )
    n_rows, n_columns = len(rows), len(columns)
    down = min(math.isqrt(PLACES), n_rows)
    across = min(PLACES // down, n_columns)
    down = min(PLACES // across, n_rows)
    regions: dict[tuple[int, int], list[Box]] = {}
    for part in sorted(shown, key=lambda part: -shown[part]):
        row, column = rows[part.top], columns[part.left]
        regions.setdefault((row * down // n_rows, column * across // n_columns), []).append(part)
    return list(regions.values())


def _samples(regions: Sequence[Sequence[Box]], shown: Mapping[Box, float]) -> list[Box]:
    """Choose a part of each region: of those that show at least half as much as the one that shows most.

    That one may be unlike all others: a fold, a pen's mark, the edge of the glass. So in each region one of another
    rank is taken, from nearly most to nearly least.
    """
    chosen = []
    for number, parts in enumerate(regions):
        showing = [part for part in parts if shown[part] >= shown[parts[0]] / 2]
        chosen.append(showing[len(showing) * (2 * number + 1) // (2 * len(regions))])
    return chosen


class _Look(NamedTuple):
    """What a part of an image shows.

    Attributes:
        noise: standard deviation of the noise between neighbouring pixels.
        step: between values, see `step_of`.
        largest: by the side of blocks, 2 to 32 pixels, the largest difference of a block from its four neighbours, in
            units in which it has the standard deviation of the blocks where there is only white noise.
        large: likewise the percentile 99.5, of 8 pixels, and what it is of 2 pixels where there is only noise.
        n_blocks: likewise the number of blocks.
    """

    noise: float
    step: float
    largest: dict[int, float]
    large: dict[int, float]
    n_blocks: dict[int, int]


def _look(pixels: np.ndarray, black: float, white: float) -> _Look:
    """Look at the values from black to white of a part (H, W, C)."""
    # As the stretch sees it: a hot pixel is no detail.
    pixels = np.clip(_without_copies(pixels), black, white)
    step = step_of(pixels)
    noise = step / math.sqrt(12)  # of rounding, at least
    if min(pixels.shape[:2]) >= 3:
        across = np.abs(_second_differences(_second_differences(pixels, 0), 1))
        noise = max(noise, float(np.percentile(across, 90)) / (6 * -ndtri(0.05)))
    largest: dict[int, float] = {}
    large: dict[int, float] = {}
    n_blocks: dict[int, int] = {}
    blocks = pixels.astype(np.float64)
    for side in (2, 4, 8, 16, 32):
        blocks = _halved(blocks)
        if min(blocks.shape[:2]) < 3:
            continue
        slopes = _second_differences(blocks, 0)[:, 1:-1] + _second_differences(blocks, 1)[1:-1]
        slopes = np.abs(slopes) / math.sqrt(20)  # 20 is the sum of the squares of 4, -1, -1, -1, -1
        largest[side], n_blocks[side] = float(slopes.max()), slopes.size
        if side == 2:  # a scale bar or a text, with the sharpest edges of all, is no noise, which is everywhere
            large[side] = float(np.percentile(slopes, 90) * ndtri(0.0025) / ndtri(0.05))
        if side == 8:
            large[side] = float(np.percentile(slopes, 99.5))
    return _Look(noise, step, largest, large, n_blocks)


def _without_copies(pixels: np.ndarray) -> np.ndarray:
    """Give one of the channels (H, W, C) where all are the same, as of grey."""
    return pixels[..., :1] if (pixels[..., :1] == pixels).all() else pixels


def _shows_more_than_noise(looks: Sequence[_Look], noise: float) -> bool:
    """Say whether there is detail; of an image too small to tell, and of one without noise, that there is."""
    sides = [side for side in (4, 8) if any(side in look.largest for look in looks)]
    if 8 not in sides or noise == 0:
        return True
    fine_and_coarse = [(look.large[2], look.large[8]) for look in looks if 8 in look.large]
    if all(2 * fine > SHARED_NOISE * noise and fine > FINEST * coarse for fine, coarse in fine_and_coarse):
        return False
    for side in sides:
        n_blocks = sum(look.n_blocks.get(side, 0) for look in looks)
        expected = float(-ndtri(0.5 / n_blocks))  # of the largest of so many
        if side * max(look.largest.get(side, 0.0) for look in looks) / noise > expected + LEAST_DETAIL:
            return True
    return False


def _shows_more_than_jpeg(looks: Sequence[_Look], places: Iterable[np.ndarray]) -> bool:
    """Say whether there is detail that a JPEG has not made of noise; of what is no JPEG of 8 bits, that there is.

    Args:
        looks: at all places.
        places: pixels of these (h, w, C), which are read only where the looks do not tell.
    """
    if any(look.step != 1 / 255 for look in looks):
        return True
    if max(look.largest.get(side, 0.0) for look in looks for side in (4, 8, 16, 32)) > STEPS_OF_JPEG:
        return True
    return any(min(_grid_along(place, axis) for axis in (0, 1)) < GRID_OF_JPEG for place in places)


def _grid_along(pixels: np.ndarray, axis: int) -> float:
    """Compare differences of neighbours on the lines of a grid of 8 pixels, wherever it begins, with those between."""
    differences = np.moveaxis(np.abs(np.diff(pixels, axis=axis)), axis, 0)
    if len(differences) < 16:
        return 0.0
    means = sorted(float(differences[start::8].mean()) for start in range(8))
    return means[-1] / max(means[3], 1e-9)


def _second_differences(array: np.ndarray, axis: int) -> np.ndarray:
    return np.diff(array, n=2, axis=axis)


def _halved(pixels: np.ndarray) -> np.ndarray:
    """Average blocks of 2 x 2 pixels; those at the end that are not full are left out."""
    rows, columns = (length // 2 * 2 for length in pixels.shape[:2])
    full = pixels[:rows, :columns]
    return (full[::2, ::2] + full[::2, 1::2] + full[1::2, ::2] + full[1::2, 1::2]) / 4


def step_of(values: np.ndarray) -> float:
    """Give the step between values of 8 or 16 bits that are divided by their largest; 0 for others."""
    for top in (255, 65535):
        levels = values * np.float32(top)
        nearest = np.rint(levels)
        # Relative: all values of a dim float image are near to 0.
        if (np.abs(levels - nearest) <= 1e-5 * nearest).all():
            return 1 / top
    return 0.0
