"""Decode the dense output of detecting networks into objects."""

from __future__ import annotations

import numpy as np
import torch

from medseg_ext.images.resize import resize_image, resized_instances
from medseg_ext.images.sides import Sides
from medseg_ext.objects.cut_off import WHOLE_BORDER, cut_off
from medseg_ext.objects.numbering import numbered
from medseg_ext.objects.objects import Objects


def decode_detections(
    output: torch.Tensor,
    *,
    size: tuple[int, int] | None = None,
    score_threshold: float = 0.5,
    min_area_px: float = 15,
    min_border_area_px: float = 0,
    border: Sides = WHOLE_BORDER,
) -> Objects:
    """Take the objects out of a detecting network's dense output.

    Args:
        output: float (1 + C, h, w): the object that owns the pixel (0 is background); probabilities of the C classes,
            background first, of which the objects' score is the rest.
        size: (H, W) of the objects when it is not that of the output: then outlines are interpolated; an object that is
            left without a pixel is dropped.
        score_threshold: objects that score less are dropped; in [0, 1].
        min_area_px: smaller objects are dropped; in pixels of the output, as it describes what the network sees.
        min_border_area_px: objects at the border of the image that are smaller are dropped, as it has cut them; in the
            same pixels. For truths that leave out what is hardly in the image.
        border: the sides of the output that are the border of the image, and not of a tile. What touches another may go
            on beyond it, and is not judged.

    Returns:
        Objects of shape (1, H, W), numbered in the order of their numbers in the output.

    Raises:
        ValueError: output of another shape.
    """
    if output.ndim != 3 or output.shape[0] < 3:
        raise ValueError(
            f"output must have shape (1 + classes, H, W) with at least 2 classes, got {tuple(output.shape)}"
        )
    output = torch.as_tensor(output).detach().float().cpu()
    numbers, probabilities = output[0].round().long().numpy(), output[1:]
    count = int(numbers.max()) + 1
    areas = np.bincount(numbers.ravel(), minlength=count)
    # An object's pixels share one score; where they don't, as after an average of several outputs, it is their mean.
    sums = np.bincount(numbers.ravel(), weights=(1 - probabilities[0]).numpy().ravel(), minlength=count)
    scores = (sums / np.maximum(areas, 1)).astype(np.float32)
    kept = (areas >= max(min_area_px, 1)) & (scores >= score_threshold)
    kept &= ~cut_off(numbers, areas, border=border, min_border_area_px=min_border_area_px)
    kept[0] = False
    instances = np.where(kept[numbers], numbers, 0)
    if size is not None and tuple(size) != instances.shape:
        instances = resized_instances(instances, size)
        probabilities = resize_image(probabilities, size)
    consecutive, left = numbered(instances)
    classes = (probabilities[1:].max(dim=0).indices.to(torch.uint8) + 1).numpy() * (consecutive > 0)
    return Objects(
        instances=torch.from_numpy(consecutive[None]),
        classes=torch.from_numpy(classes[None]),
        scores=torch.from_numpy(scores[left]),
    )
