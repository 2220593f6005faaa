"""Decode the output of semantic networks into objects."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from scipy import ndimage
from skimage.measure import label
from skimage.segmentation import relabel_sequential, watershed
from torch.nn.functional import interpolate


@dataclass(frozen=True)
class Objects:
    """What every decoder makes of a network's output, whatever the network.

    Attributes:
        instances: label map, int32 (1, H, W): 0 is background, 1..N are objects.
        classes: class map, uint8 (1, H, W); 0 exactly where `instances` is 0.
        scores: float32 (N,) in [0, 1]; entry i belongs to object i + 1.
    """

    instances: torch.Tensor
    classes: torch.Tensor
    scores: torch.Tensor


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


class DecodeObjectsd(MapTransform):
    """Decode a network's output into objects: adds `pred_instances`, `pred_classes` and `pred_scores`.

    The objects get the size that the image had when it was loaded (from the image's metadata), whatever the size at
    which the network worked. Subclasses say how to decode.

    Args:
        keys: the output of one image.
        image_key: the image whose metadata tell the original size; where they don't, the size of the output is kept.
        decode: gives the objects of an output at a `size`.
    """

    def __init__(self, keys: KeysCollection, *, image_key: str, decode: Callable[..., Objects]) -> None:
        super().__init__(keys)
        self.image_key = image_key
        self.decode = decode

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with the objects added."""
        result = dict(data)
        for key in self.key_iterator(result):
            objects = self.decode(result[key], size=_original_size(result.get(self.image_key)))
            result["pred_instances"] = objects.instances
            result["pred_classes"] = objects.classes
            result["pred_scores"] = objects.scores
        return result


class DecodeSemanticd(DecodeObjectsd):
    """Decode the logits of a semantic network, as `DecodeObjectsd`.

    Args:
        keys: the logits, float (C + 1, h, w).
        image_key: see `DecodeObjectsd`.
        foreground_threshold, seed_threshold, seed_class, min_area_px, score_threshold: see `decode_semantic`.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        image_key: str = "image",
        foreground_threshold: float = 0.5,
        seed_threshold: float = 0.5,
        seed_class: int | None = None,
        min_area_px: float = 15,
        score_threshold: float = 0.0,
    ) -> None:
        decode = partial(
            decode_semantic,
            foreground_threshold=foreground_threshold,
            seed_threshold=seed_threshold,
            seed_class=seed_class,
            min_area_px=min_area_px,
            score_threshold=score_threshold,
        )
        super().__init__(keys, image_key=image_key, decode=decode)


def _original_size(image: torch.Tensor | None) -> tuple[int, int] | None:
    shape = getattr(image, "meta", {}).get("spatial_shape")
    return None if shape is None else (int(shape[0]), int(shape[1]))


class ForegroundOfLogitsd(MapTransform):
    """Mark the foreground of a training batch as one object: adds `pred_` and `true_` `instances` and `classes`.

    A cheap stand-in for decoding, good for the foreground IoU of a training batch.

    Args:
        keys: the logits, float (C + 1, H, W), or a list of them, of which the first counts.
        label_key: the target of `SemanticTargetd`, (2, H, W), from which the true maps are made likewise.
    """

    def __init__(self, keys: KeysCollection = "pred", *, label_key: str = "label") -> None:
        super().__init__(keys)
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with foreground and class maps added, int32 and uint8 (1, H, W)."""
        result = dict(data)
        truth = torch.as_tensor(result[self.label_key])[:1].to(torch.uint8)
        result["true_classes"], result["true_instances"] = truth, (truth > 0).to(torch.int32)
        for key in self.key_iterator(result):
            heads = result[key]  # of a network with deep supervision, the final one first
            logits = torch.as_tensor(heads[0] if isinstance(heads, list) else heads).detach()
            predicted = logits[:-1].argmax(dim=0, keepdim=True).to(torch.uint8)
            result["pred_classes"], result["pred_instances"] = predicted, (predicted > 0).to(torch.int32)
        return result
