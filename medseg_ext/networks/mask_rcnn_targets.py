"""Turn a label map into the boxes, classes, and masks that a detector learns from."""

from __future__ import annotations

from typing import NamedTuple

import torch


class ObjectTargets(NamedTuple):
    """What is to be detected in one image.

    Attributes:
        boxes_xyxy: float32 (N, 4), in pixels: first column and row, last column and row plus 1.
        classes: int64 (N,): 0 is the whole object, 1 its inner part.
        masks: bool (N, H, W).
    """

    boxes_xyxy: torch.Tensor
    classes: torch.Tensor
    masks: torch.Tensor


def targets_of_label(label: torch.Tensor, *, n_detection_classes: int, min_object_area_px: float = 10) -> ObjectTargets:
    """Describe every object of a label map, as much as is seen of it.

    All pixels of one id are one object, even where another object parts them. With two detection classes, the pixels
    of an object whose class is the last of the class map are an object of their own: its nucleus.

    Args:
        label: integer (2, H, W): label map (0 is background, ids are arbitrary); class map.
        n_detection_classes: 1 (whole objects) or 2 (whole objects, inner parts).
        min_object_area_px: smaller remains, such as a crop leaves at its edge, are left out, as are those less than 2
            pixels wide or high.

    Returns:
        Targets on the label's device; whole objects first, each in the order of the ids.

    Raises:
        ValueError: label of another shape.

    >>> targets_of_label(torch.ones(2, 4, 3, dtype=torch.int64), n_detection_classes=1).boxes_xyxy
    tensor([[0., 0., 3., 4.]])
    """
    if label.ndim != 3 or label.shape[0] != 2:
        raise ValueError(f"label must have shape (2, H, W): label map, class map; got {tuple(label.shape)}")
    instances, classes = label.long()
    parts = [instances]
    if n_detection_classes > 1:
        parts.append(torch.where(classes == n_detection_classes, instances, 0))
    found = [_boxes_and_masks(part, min_object_area_px) for part in parts]
    return ObjectTargets(
        boxes_xyxy=torch.cat([boxes for boxes, _ in found]),
        classes=torch.cat([torch.full_like(boxes[:, 0], index).long() for index, (boxes, _) in enumerate(found)]),
        masks=torch.cat([masks for _, masks in found]),
    )


def _boxes_and_masks(instances: torch.Tensor, min_area_px: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Box and mask of each id of a label map (H, W) that is large enough."""
    rows, columns = torch.nonzero(instances, as_tuple=True)
    ids, number = torch.unique(instances[rows, columns], return_inverse=True)
    points = torch.stack([columns, rows, columns, rows], dim=1)
    index = number[:, None].expand(-1, 2)
    boxes = torch.zeros(len(ids), 4, dtype=torch.int64, device=instances.device)
    boxes[:, :2] = boxes[:, :2].scatter_reduce(0, index, points[:, :2], "amin", include_self=False)
    boxes[:, 2:] = boxes[:, 2:].scatter_reduce(0, index, points[:, 2:] + 1, "amax", include_self=False)
    sides = boxes[:, 2:] - boxes[:, :2]
    kept = (torch.bincount(number, minlength=len(ids)) >= min_area_px) & (sides >= 2).all(dim=1)
    # Only what is kept gets a mask: (N, H, W) is by far the largest thing here.
    new_number = torch.cumsum(kept, dim=0) - 1
    seen = kept[number]
    masks = torch.zeros(int(kept.sum()), *instances.shape, dtype=torch.bool, device=instances.device)
    masks[new_number[number[seen]], rows[seen], columns[seen]] = True
    return boxes[kept].float(), masks
