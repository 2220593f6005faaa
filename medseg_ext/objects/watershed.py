"""Decode the output of semantic networks into objects, by a watershed."""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import relabel_sequential, watershed
from torch.nn.functional import interpolate

from medseg_ext.objects.objects import Objects


def decode_semantic(
    logits: torch.Tensor,
    *,
    size: tuple[int, int] | None = None,
    foreground_threshold: float = 0.5,
    seed_threshold: float = 0.5,
    seed_class: int | None = None,
    min_area_px: float = 15,
    score_threshold: float = 0.0,
) -> Objects:
    """Split the foreground of a semantic network's output into objects.

    The foreground are the pixels whose probability of any class but background reaches `foreground_threshold`. Its
    seeds are the connected parts in which P(foreground) x (1 - P(boundary)) reaches `seed_threshold`; where there is a
    `seed_class`, its probability stands in for that of the foreground. A watershed grows them over the foreground. A
    part of the foreground without a seed is one object. Holes of an object are filled.

    Args:
        logits: float (C + 1, h, w): one channel a class, background first (softmax), then the boundary (sigmoid).
        size: (H, W) of the objects when it is not that of the logits, which are then interpolated first.
        foreground_threshold: probability in (0, 1).
        seed_threshold: probability in (0, 1).
        seed_class: a class of which each object has one part, such as the nucleus of a cell; None where there is none.
        min_area_px: smaller objects are dropped, smaller seeds ignored; in pixels of the logits, as it describes what
            the network sees.
        score_threshold: objects that score less are dropped; in [0, 1].

    Returns:
        Objects of shape (1, H, W). A score is the mean foreground probability over the object.

    Raises:
        ValueError: logits of another shape, or without the seed's class.
    """
    if logits.ndim != 3 or logits.shape[0] < 3:
        raise ValueError(
            f"logits must have shape (classes + 1, H, W) with at least 2 classes, got {tuple(logits.shape)}"
        )
    if seed_class is not None and not 0 < seed_class < logits.shape[0] - 1:
        raise ValueError(f"seed_class must be a foreground class, 1 to {logits.shape[0] - 2}, got {seed_class}")
    logits = torch.as_tensor(logits).detach().float()
    area_scale = 1.0
    if size is not None and tuple(size) != tuple(logits.shape[1:]):
        area_scale = size[0] * size[1] / (logits.shape[1] * logits.shape[2])
        logits = interpolate(logits[None], size=tuple(size), mode="bilinear", align_corners=False)[0]
    class_probabilities = torch.softmax(logits[:-1], dim=0)
    foreground_probability = (1 - class_probabilities[0]).cpu().numpy()
    no_boundary_probability = 1 - torch.sigmoid(logits[-1]).cpu().numpy()
    interior_probability = foreground_probability * no_boundary_probability
    seed_probability = (
        interior_probability
        if seed_class is None
        else class_probabilities[seed_class].cpu().numpy() * no_boundary_probability
    )

    instances = _grow_seeds(
        foreground_probability >= foreground_threshold,
        interior_probability,
        seed_probability >= seed_threshold,
        min_area_px=min_area_px * area_scale,
    )
    instances, scores = _drop_unsure(instances, foreground_probability, score_threshold)
    # Where the foreground wins as a whole, the likeliest of its classes is the pixel's class.
    classes = (class_probabilities[1:].argmax(dim=0) + 1).to(torch.uint8).cpu().numpy() * (instances > 0)
    return Objects(
        instances=torch.from_numpy(instances[None].astype(np.int32)),
        classes=torch.from_numpy(classes[None].astype(np.uint8)),
        scores=torch.from_numpy(scores),
    )


def _drop_unsure(
    instances: np.ndarray, probability: np.ndarray, score_threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Score objects by their mean probability and drop those below a threshold; returns labels 1..N and N scores."""
    count = int(instances.max())
    scores = np.asarray(ndimage.mean(probability, instances, index=np.arange(1, count + 1)), dtype=np.float32)
    kept = scores >= score_threshold
    numbers = np.concatenate([[0], np.cumsum(kept) * kept])
    return numbers[instances], scores[kept]


def _grow_seeds(
    foreground: np.ndarray, interior_probability: np.ndarray, seeds: np.ndarray, *, min_area_px: float
) -> np.ndarray:
    """Label the objects of the foreground; returns int (H, W), 1..N without gaps."""
    foreground = _without_small_parts(foreground, min_area_px) > 0
    seeds = _without_small_parts(seeds & foreground, max(min_area_px / 4, 1))
    parts = label(foreground, connectivity=1)
    seeded = np.zeros(parts.max() + 1, dtype=bool)
    seeded[parts[seeds > 0]] = True
    unseeded = np.where(seeded[parts], 0, parts)
    markers = seeds + np.where(unseeded > 0, unseeded + seeds.max(), 0)
    instances = _fill_holes(watershed(-interior_probability, markers, mask=foreground))
    areas = np.bincount(instances.ravel())
    instances[areas[instances] < min_area_px] = 0
    return relabel_sequential(instances)[0]


def _fill_holes(instances: np.ndarray) -> np.ndarray:
    """Fill the holes of each object; what lies between several objects, such as a gland's lumen, stays empty."""
    filled = instances.copy()
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is not None:
            holes = ndimage.binary_fill_holes(instances[box] == number) & (instances[box] == 0)
            filled[box][holes] = number
    return filled


def _without_small_parts(mask: np.ndarray, min_area_px: float) -> np.ndarray:
    """Label the 4-connected parts of a mask and clear those below an area."""
    parts = label(mask, connectivity=1)
    areas = np.bincount(parts.ravel())
    parts[areas[parts] < min_area_px] = 0
    return parts
