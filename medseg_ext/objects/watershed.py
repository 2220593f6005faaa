"""Decode the output of semantic networks into objects, by a watershed."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima
from skimage.segmentation import expand_labels, watershed

from medseg_ext.images.resize import resize_image, resize_labels, resized_instances, smooth_labels
from medseg_ext.images.sides import Sides
from medseg_ext.objects.cut_off import WHOLE_BORDER, cut_off
from medseg_ext.objects.numbering import numbered
from medseg_ext.objects.objects import Objects

SMOOTHING_PX = 1.0  # of the centre distance, so that noise makes no peaks
OUTSIDE = -1.0  # depth of the background: no ridge leads through it


def decode_semantic(
    logits: torch.Tensor,
    *,
    size: tuple[int, int] | None = None,
    foreground_threshold: float = 0.5,
    seed_prominence: float = 0.15,
    min_area_px: float = 15,
    min_border_area_px: float = 0,
    score_threshold: float = 0.0,
    border: Sides = WHOLE_BORDER,
) -> Objects:
    """Split the foreground of a semantic network's output into objects.

    The foreground are the pixels whose probability of any class but background reaches `foreground_threshold`. Its
    seeds are the peaks of the centre distance that rise by `seed_prominence` above the saddle to any higher one in the
    foreground, so that each part of it has one at least. A watershed grows them over the foreground. Holes of an object
    are filled.

    Args:
        logits: float (C + 1, h, w): one channel a class, background first (softmax), then the centre distance
            (sigmoid), see `medseg_ext.transforms.centre_distances`.
        size: (H, W) of the objects when it is not that of the logits, in which they are found. Where it is larger
            outlines are interpolated; where it is smaller an object that is left without a pixel is dropped.
        foreground_threshold: probability in (0, 1).
        seed_prominence: in (0, 1), where 1 is the whole height of an object.
        min_area_px: smaller objects are dropped; in pixels of the logits, as it describes what the network sees.
        min_border_area_px: objects at the border of the image that are smaller are dropped, as it has cut them; in the
            same pixels. For truths that leave out what is hardly in the image.
        score_threshold: objects that score less are dropped; in [0, 1].
        border: the sides of the logits that are the border of the image, and not of a tile. What touches another may go
            on beyond it, and is not judged.

    Returns:
        Objects of shape (1, H, W). A score is the mean foreground probability over the object.

    Raises:
        ValueError: logits of another shape.

    Source: Naylor et al., Segmentation of Nuclei in Histopathology Images by Deep Regression of the Distance Map. IEEE
        TMI 2019.
    """
    if logits.ndim != 3 or logits.shape[0] < 3:
        raise ValueError(
            f"logits must have shape (classes + 1, H, W) with at least 2 classes, got {tuple(logits.shape)}"
        )
    logits = torch.as_tensor(logits).detach().float().cpu()
    probabilities = torch.softmax(logits[:-1], dim=0)
    foreground_probability = (1 - probabilities[0]).numpy()
    foreground = foreground_probability >= foreground_threshold
    depth = ndimage.gaussian_filter(torch.sigmoid(logits[-1]).numpy(), SMOOTHING_PX, mode="nearest")
    instances = _grow_seeds(foreground, depth, seed_prominence=seed_prominence, min_area_px=min_area_px)
    areas = np.bincount(instances.ravel())
    sums = np.bincount(instances.ravel(), weights=foreground_probability.ravel())
    scores = (sums / np.maximum(areas, 1)).astype(np.float32)
    kept = (scores >= score_threshold) & ~cut_off(
        instances, areas, border=border, min_border_area_px=min_border_area_px
    )
    kept[0] = False
    instances, scores = _numbered(kept)[instances], scores[kept]

    if size is not None and tuple(size) != instances.shape:
        is_filled = (instances > 0) & ~foreground
        probabilities = resize_image(probabilities, (size[0], size[1]))
        outlined = (1 - probabilities[0]).numpy() >= foreground_threshold
        instances, left = numbered(_at_size(instances, outlined, is_filled))
        scores = scores[left - 1]
    # Where the foreground wins as a whole, the likeliest of its classes is the pixel's class. max: argmax is slower.
    classes = (probabilities[1:].max(dim=0).indices.to(torch.uint8) + 1).numpy() * (instances > 0)
    return Objects(
        instances=torch.from_numpy(instances[None].astype(np.int32, copy=False)),
        classes=torch.from_numpy(classes[None]),
        scores=torch.from_numpy(scores),
    )


def _at_size(instances: np.ndarray, outlined: np.ndarray, is_filled: np.ndarray) -> np.ndarray:
    """Resize a label map to the size of `outlined`, the foreground at that size; where it grows, up to its outline."""
    size = (outlined.shape[0], outlined.shape[1])
    if not all(new >= old for new, old in zip(size, instances.shape, strict=True)):
        return resized_instances(instances, size)
    outlined |= resize_labels(torch.from_numpy(is_filled)[None], size)[0].numpy()
    return smooth_labels(expand_labels(instances, distance=2), size) * outlined


def _grow_seeds(foreground: np.ndarray, depth: np.ndarray, *, seed_prominence: float, min_area_px: float) -> np.ndarray:
    """Label the objects of the foreground; returns int (H, W), 1..N without gaps."""
    foreground = _without_small_parts(foreground, min_area_px) > 0
    # Background lies so low that no ridge leads through it: each part of the foreground has a peak.
    seeds = _prominent_peaks(np.where(foreground, depth, OUTSIDE), seed_prominence)
    instances = _fill_holes(watershed(-depth, seeds, mask=foreground))
    areas = np.bincount(instances.ravel())
    kept = (areas >= max(min_area_px, 1)) & (np.arange(len(areas)) > 0)
    return _numbered(kept)[instances]


def _prominent_peaks(height: np.ndarray, prominence: float) -> np.ndarray:
    """Label the tops of peaks that rise by a prominence above the saddle to any higher one; int (H, W).

    A top is what is left of a peak above its saddle, or above `prominence` below its top: what its greyscale
    reconstruction from `height - prominence` leaves, by neighbours at sides. In the whole basin of a maximum that has
    one level, as far as the basin is higher, so that basins are compared, and not all pixels sorted.

    Args:
        height: float (H, W); `OUTSIDE` where there is nothing, all else above it by more than the prominence.
        prominence: above 0.
    """
    framed = np.pad(height, 1, constant_values=OUTSIDE)  # of an image that is all flat, too, there is a maximum
    maxima = label(local_maxima(framed, connectivity=1)[1:-1, 1:-1], connectivity=1)
    basins = watershed(-height, maxima, mask=height > OUTSIDE)
    above = height - np.minimum(height, _flood_levels(basins, height, prominence)[basins])
    tops = label(above > 0, connectivity=1)
    highest = np.zeros(tops.max() + 1, dtype=above.dtype)
    np.maximum.at(highest, tops.ravel(), above.ravel())
    is_peak = highest >= 0.999 * prominence  # of floats
    is_peak[0] = False
    return _numbered(is_peak)[tops]


def _flood_levels(basins: np.ndarray, height: np.ndarray, prominence: float) -> np.ndarray:
    """Tell how high each basin is flooded from all maxima, each lowered by a prominence; (1 + basins,), first none.

    A flood enters the next basin over the highest pair of neighbouring pixels of both, and stays below the lower pixel.
    """
    levels = np.full(basins.max() + 1, -np.inf, dtype=height.dtype)
    np.maximum.at(levels, basins.ravel(), height.ravel())
    levels -= prominence
    levels[0] = np.inf
    into: list[np.ndarray] = []
    out_of: list[np.ndarray] = []
    saddles: list[np.ndarray] = []
    for one, other in (((slice(1, None),), (slice(-1),)), ((slice(None), slice(1, None)), (slice(None), slice(-1)))):
        meet = (basins[one] != basins[other]) & (basins[one] > 0) & (basins[other] > 0)
        ends = basins[one][meet], basins[other][meet]
        into += ends
        out_of += ends[::-1]
        saddles += [np.minimum(height[one][meet], height[other][meet])] * 2
    entered, left, saddle = (np.concatenate(each) for each in (into, out_of, saddles))
    is_open = np.ones(len(saddle), dtype=bool)
    while is_open.any():
        before = levels.copy()
        np.maximum.at(levels, entered[is_open], np.minimum(levels[left[is_open]], saddle[is_open]))
        is_open = (levels != before)[left]
    return levels


def _fill_holes(instances: np.ndarray) -> np.ndarray:
    """Fill the holes of each object; what lies between several objects, such as a gland's lumen, stays empty."""
    filled = instances.copy()
    boxes = ndimage.find_objects(instances)
    for number in _may_have_holes(instances, boxes):
        box = boxes[number - 1]
        holes = ndimage.binary_fill_holes(instances[box] == number) & (instances[box] == 0)
        filled[box][holes] = number
    return filled


def _may_have_holes(instances: np.ndarray, boxes: list) -> np.ndarray:
    """List the objects whose boxes, but for the outermost pixels, hold a whole part of the background; ascending."""
    parts = ndimage.find_objects(label(instances == 0, connectivity=1))
    is_there = np.array([box is not None for box in boxes], dtype=bool)
    if not is_there.any():
        return np.zeros(0, dtype=int)
    tops, bottoms, lefts, rights = _sides([box for box in boxes if box is not None]).T
    holds_a_part = np.zeros(len(tops), dtype=bool)
    for top, bottom, left, right in _sides(parts):
        holds_a_part |= (tops < top) & (bottom < bottoms) & (lefts < left) & (right < rights)
    return is_there.nonzero()[0][holds_a_part] + 1


def _sides(boxes: list) -> np.ndarray:
    """Give top, bottom, left and right of boxes, int (N, 4)."""
    return np.array([[rows.start, rows.stop, columns.start, columns.stop] for rows, columns in boxes]).reshape(-1, 4)


def _numbered(kept: np.ndarray) -> np.ndarray:
    """Give the kept ones of some numbers, bool (N,), new ones from 1, in order; int (N,), 0 for the others."""
    return np.cumsum(kept) * kept


def _without_small_parts(mask: np.ndarray, min_area_px: float) -> np.ndarray:
    """Label the 4-connected parts of a mask and clear those below an area."""
    parts = label(mask, connectivity=1)
    is_large = np.bincount(parts.ravel()) >= min_area_px
    return parts * is_large[parts]
