"""Resize images and label maps so that both stay in register."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import numpy as np
import torch
from scipy import ndimage
from torch.nn.functional import interpolate

LEAST_SIDE_PX = 1
TIE_BREAK = 1e-3  # of a pixel


def scaled_size(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """Give the height and width of an image that is scaled, at least 1 pixel each.

    >>> scaled_size((100, 3), 0.1)
    (10, 1)
    """
    return max(LEAST_SIDE_PX, round(size[0] * scale)), max(LEAST_SIDE_PX, round(size[1] * scale))


def resize_image(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize an image bilinearly, over the area of each new pixel where it shrinks.

    Args:
        image: float (..., C, H, W).
        size: the new height and width, in pixels.

    Returns:
        float (..., C, *size); the image itself where it has that size.
    """
    if tuple(image.shape[-2:]) == tuple(size):
        return image
    planes = image.reshape(-1, *image.shape[-3:])
    shrinks = size[0] < image.shape[-2] or size[1] < image.shape[-1]
    resized = interpolate(planes, size=tuple(size), mode="bilinear", align_corners=False, antialias=shrinks)
    return resized.reshape(*image.shape[:-2], *size)


def resize_labels(labels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a label map: each new pixel gets the value that covers most of it.

    The nearest pixel would not do: where a map shrinks, it keeps single pixels, and moves every outline by up to half
    a new pixel. Where two values cover the same share, they win by turns, so that objects neither shift nor shrink.

    Args:
        labels: integers (C, H, W), of which each channel is a map of its own.
        size: the new height and width, in pixels.

    Returns:
        (C, *size), values of `labels` only, of its type; the map itself where it has that size.

    >>> resize_labels(torch.tensor([[[7, 7, 7, 0, 0, 0]]]), (1, 2))
    tensor([[[7, 0]]])
    """
    if tuple(labels.shape[1:]) == tuple(size):
        return labels
    rows, columns = (_sampled(old, new) for old, new in zip(labels.shape[1:], size, strict=True))
    turns = (torch.arange(size[0])[:, None] + torch.arange(size[1])[None, :]) % 2  # 0 and 1 like a chess board
    if rows.shape[-1] == columns.shape[-1] == 1:
        first, second = (labels[:, row[:, 0]][..., column[:, 0]] for row, column in zip(rows, columns, strict=True))
        return torch.where(turns == 0, first, second)
    # Most new pixels lie within one value; only the others vote.
    resized, largest = (_extreme(which, labels, rows, columns) for which in (torch.minimum, torch.maximum))
    channel, row, column = (resized != largest).nonzero(as_tuple=True)
    turn = turns[row, column]
    places = channel[:, None, None], rows[turn, row][:, :, None], columns[turn, column][:, None, :]
    resized[channel, row, column] = labels[places].flatten(1).mode(dim=-1).values
    return resized


def _extreme(
    which: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    labels: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
) -> torch.Tensor:
    """Give the least or largest of the values that new pixels sample, (C, new, new); places as of `_sampled`."""
    of_rows = reduce(which, (labels[:, row] for row in _places(rows)))
    return reduce(which, (of_rows[:, :, column] for column in _places(columns)))


def _places(sampled: torch.Tensor) -> torch.Tensor:
    """Give the places (n, new) among which there are all of `_sampled`; each just once."""
    return torch.unique(sampled.transpose(1, 2).flatten(0, 1), dim=0)


def _sampled(old: int, new: int) -> torch.Tensor:
    """Give the old pixels (2, new, n) at n places spread over each new pixel, moved by a trifle one way and the other.

    The number of places is odd: a tie of two halves is then one of the place in the middle, which the trifle decides.
    A pixel that is no larger than an old one needs only that place.
    """
    count = 1 if new >= old else 2 * math.ceil(old / new / 2) + 1
    places = (torch.arange(new)[:, None] + (torch.arange(count) + 0.5) / count) * (old / new)
    moved = torch.stack([places - TIE_BREAK, places + TIE_BREAK])
    return moved.floor().long().clamp(0, old - 1)


def resized_instances(instances: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a predicted label map, integers (H, W): smoothly where it grows, by majority where it shrinks."""
    if instances.shape[0] <= size[0] and instances.shape[1] <= size[1]:
        return smooth_labels(instances, size)
    return resize_labels(torch.from_numpy(instances)[None], size)[0].numpy()


def smooth_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge a label map with smooth outlines: each new pixel gets the label of the largest bilinear share.

    The share of a label is what `resize_image` would make of its mask; a pixel of which all labels together have less
    than half is background.

    Args:
        labels: integers (H, W); 0 is background.
        size: the new height and width, in pixels, no less than the old ones.

    Returns:
        (*size), values of `labels` only, of its type.

    >>> smooth_labels(np.array([[0, 0, 5]]), (1, 6))
    array([[0, 0, 0, 0, 5, 5]])
    """
    ratios = size[0] / labels.shape[0], size[1] / labels.shape[1]
    covered, largest = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
    enlarged = np.zeros(size, dtype=labels.dtype)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        # One pixel more on each side, into which a bilinear share reaches.
        sources = [slice(max(0, side.start - 1), side.stop + 1) for side in box]
        places = [
            slice(math.floor(side.start * ratio), min(math.ceil(side.stop * ratio), length))
            for side, ratio, length in zip(sources, ratios, size, strict=True)
        ]
        mask = labels[sources[0], sources[1]] == number
        rows, columns = (
            _bilinear_weights(place, source.start, count, ratio)
            for place, source, count, ratio in zip(places, sources, mask.shape, ratios, strict=True)
        )
        share = rows @ mask.astype(np.float32) @ columns.T
        there = places[0], places[1]
        covered[there] += share
        wins = share > largest[there]
        largest[there][wins] = share[wins]
        enlarged[there][wins] = number
    return np.where(covered >= 0.5, enlarged, 0).astype(labels.dtype)


def _bilinear_weights(place: slice, first: int, count: int, ratio: float) -> np.ndarray:
    """Give the weights (new pixels, old pixels) of `count` old pixels, from the one numbered `first`."""
    centres = (np.arange(place.start, place.stop) + 0.5) / ratio - 0.5 - first
    # A pixel beyond the last one repeats it: beyond the image, where the box ends with it, and else background.
    distances = np.abs(np.clip(centres, 0, count - 1)[:, None] - np.arange(count)[None, :])
    return np.clip(1 - distances, 0, 1).astype(np.float32)
