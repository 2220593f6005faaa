"""Detect the objects of a dense image region by region, as a detector gives only so many at once."""

# No `from __future__ import annotations`: TorchScript reads the annotations of these functions as types, and knows
# constants of the module as defaults only.

import logging

import torch
from torch import nn

# A detector that gives as many detections as it may, and is this sure of the last of them, has left some out.
LEFT_OUT_SCORE = 0.3
LEAST_MARGIN_PX = 16
SAME_CENTRE_PX = 2.0  # between two looks at an object
logger = logging.getLogger(__name__)


class RegionwiseDetector(nn.Module):
    """Look at an image with a detector; where that gives as many objects as it may, at its halves, and so on.

    Halves overlap by more than the largest object that was seen, and a half gives the objects whose centres are on its
    side; one whose centre is on the border may come twice, and painting leaves out what was found before.

    Args:
        look: gives of an image float (1, 3, h, w) boxes xyxy (N, 4), scores (N,), classes (N,) and masks (N, M, M), the
            highest score first.
        limit: most detections of one look.
    """

    def __init__(self, look: nn.Module, limit: int) -> None:
        super().__init__()
        self.look = look
        self.limit = limit
        self.left_out_score = LEFT_OUT_SCORE

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Give boxes, scores, classes and masks of all objects of an image (1, 3, H, W)."""
        whole = [0, image.shape[2], 0, image.shape[3]]
        regions = [whole]  # top, bottom, left, right
        cores = [whole]  # of a region the part whose objects it gives
        boxes_xyxy: list[torch.Tensor] = []
        scores: list[torch.Tensor] = []
        classes: list[torch.Tensor] = []
        masks: list[torch.Tensor] = []
        while len(regions) > 0:
            region, core = regions.pop(), cores.pop()
            found = self.look(image[:, :, region[0] : region[1], region[2] : region[3]])
            boxes = found[0] + torch.tensor(
                [region[2], region[0], region[2], region[0]], dtype=found[0].dtype, device=found[0].device
            )
            if len(found[1]) >= self.limit and bool(found[1].min() >= self.left_out_score):
                halves = _halves(region, core, boxes)
                if len(halves) > 0:
                    regions.extend([halves[0], halves[2]])
                    cores.extend([halves[1], halves[3]])
                    continue
                if not torch.jit.is_scripting():
                    logger.warning("only %d objects of a part of an image are found: it holds more", self.limit)
            kept = _centred_in(boxes, core, whole)
            boxes_xyxy.append(boxes[kept])
            scores.append(found[1][kept])
            classes.append(found[2][kept])
            masks.append(found[3][kept])
        return torch.cat(boxes_xyxy), torch.cat(scores), torch.cat(classes), torch.cat(masks)


def _halves(
    region: list[int], core: list[int], boxes_xyxy: torch.Tensor, least_margin_px: int = LEAST_MARGIN_PX
) -> list[list[int]]:
    """Give region and core of one half and of the other; nothing where an object is as large as a half."""
    sides = torch.stack([boxes_xyxy[:, 2] - boxes_xyxy[:, 0], boxes_xyxy[:, 3] - boxes_xyxy[:, 1]])
    margin = max(int(sides.max()) + 1, least_margin_px)
    axis = 0 if region[1] - region[0] >= region[3] - region[2] else 2
    middle = (core[axis] + core[axis + 1]) // 2
    if 4 * margin > region[axis + 1] - region[axis]:
        return []
    first, second = list(region), list(region)
    first[axis + 1] = min(middle + margin, region[axis + 1])
    second[axis] = max(middle - margin, region[axis])
    first_core, second_core = list(core), list(core)
    first_core[axis + 1] = middle
    second_core[axis] = middle
    return [first, first_core, second, second_core]


def _centred_in(
    boxes_xyxy: torch.Tensor, core: list[int], whole: list[int], same_centre_px: float = SAME_CENTRE_PX
) -> torch.Tensor:
    """Say for each box (N, 4) whether its centre is in a part of an image; bool (N,)."""
    row = (boxes_xyxy[:, 1] + boxes_xyxy[:, 3]) / 2
    column = (boxes_xyxy[:, 0] + boxes_xyxy[:, 2]) / 2
    kept = torch.ones_like(row, dtype=torch.bool)
    if core[0] > whole[0]:
        kept = kept & (row >= core[0] - same_centre_px)
    if core[1] < whole[1]:
        kept = kept & (row < core[1] + same_centre_px)
    if core[2] > whole[2]:
        kept = kept & (column >= core[2] - same_centre_px)
    if core[3] < whole[3]:
        kept = kept & (column < core[3] + same_centre_px)
    return kept
