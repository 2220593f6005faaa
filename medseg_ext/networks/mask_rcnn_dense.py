"""Paint the detections of one image into one dense tensor."""

# No `from __future__ import annotations`: TorchScript reads the annotations of these functions as types.
# Detectron2 works out the masks of all objects at full size, (N, H, W), which does not fit when there are hundreds
# of objects in a large image; here each is worked out within its box. As a loop, that must be scripted to be traced.

import torch
from torch.nn.functional import grid_sample


@torch.jit.script_if_tracing
def dense_detections(
    boxes_xyxy: torch.Tensor,
    scores: torch.Tensor,
    classes: torch.Tensor,
    masks: torch.Tensor,
    image: torch.Tensor,
    n_classes: int,
    inner_score_threshold: float,
    mask_threshold: float = 0.5,
) -> torch.Tensor:
    """Give each pixel of an image to at most one of the detected objects.

    A pixel goes to the highest-scoring whole object whose mask holds it with a probability of `mask_threshold` or more.
    An object of whose mask more than half is taken by better ones is the same thing found again, and left out. With
    three classes, an inner part (a nucleus) goes to the object that holds most of its pixels, or is dropped when there
    is none; its pixels outside every object join that object.

    Args:
        boxes_xyxy: float (N, 4), in pixels.
        scores: float (N,) in [0, 1].
        classes: integer (N,): 0 is a whole object, 1 an inner part.
        masks: float (N, M, M): probability inside the box.
        image: any tensor (..., H, W) of the wanted size, on the same device.
        n_classes: 2 or 3, with the background.
        inner_score_threshold: inner parts that score less are left out.
        mask_threshold: least probability of an object's pixels, in (0, 1).

    Returns:
        float32 (1, 1 + n_classes, H, W). Channel 0 numbers the objects, 1..N from the highest score down. The others
        are the probabilities of the classes, with s the score of the object that owns the pixel and q the mask of its
        inner part: 1 - s; s of the only class, or s (1 - q) of the outer and s q of the inner class.
    """
    height, width = image.shape[-2], image.shape[-1]
    order = torch.argsort(scores, descending=True, stable=True)
    scores = scores[order].detach().float()
    boxes_xyxy = boxes_xyxy[order].detach().float()
    masks = masks[order].detach().float()
    is_whole: list[bool] = (classes[order] == 0).tolist()
    is_inner: list[bool] = ((classes[order] == 1) & (scores >= inner_score_threshold)).tolist()
    regions: list[list[int]] = _regions(boxes_xyxy, height, width).tolist()

    # The highest score first. Numbers are ranks.
    whole = torch.zeros(height, width, dtype=torch.int64, device=boxes_xyxy.device)
    for rank in range(len(regions)):
        top, bottom, left, right = regions[rank]
        if is_whole[rank] and bottom > top and right > left:
            mask = _paste(masks[rank], boxes_xyxy[rank], top, bottom, left, right) >= mask_threshold
            part = whole[top:bottom, left:right]
            free = mask & (part == 0)
            if bool(2 * free.sum() >= mask.sum()):
                part.masked_fill_(free, rank + 1)

    owner = whole.clone()
    inner = torch.zeros(height, width, dtype=torch.float32, device=boxes_xyxy.device)
    if n_classes > 2:
        for rank in range(len(regions) - 1, -1, -1):
            top, bottom, left, right = regions[rank]
            if is_inner[rank] and bottom > top and right > left:
                mask = _paste(masks[rank], boxes_xyxy[rank], top, bottom, left, right)
                below = whole[top:bottom, left:right]
                votes = torch.bincount(below[mask >= mask_threshold], minlength=2)[1:]
                if bool(votes.max() > 0):
                    winner = int(votes.argmax()) + 1
                    joins = (mask >= mask_threshold) & (below == 0)
                    owner[top:bottom, left:right].masked_fill_(joins, winner)
                    part = inner[top:bottom, left:right]
                    # Several inner parts may lie in one object: their union. Where they reach into the background,
                    # the highest score has come last.
                    part.copy_(torch.where(below == winner, torch.maximum(part, mask), torch.where(joins, mask, part)))

    # Objects that others cover wholly leave no gap in the numbers.
    seen = torch.bincount(owner.flatten(), minlength=len(regions) + 1) > 0
    seen[0] = False
    instances = torch.cumsum(seen, dim=0)[owner]
    score = torch.cat([torch.zeros_like(scores[:1]) if len(regions) > 0 else scores.new_zeros(1), scores])[owner]
    channels = [torch.where(owner > 0, instances, 0).float(), 1 - score]
    if n_classes > 2:
        channels += [score * (1 - inner), score * inner]
    else:
        channels += [score]
    return torch.stack(channels)[None]


def _regions(boxes_xyxy: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return int64 (N, 4): top, bottom, left, right of the pixels that a box may touch; nothing for an empty box."""
    left, top, right, bottom = boxes_xyxy.unbind(dim=1)
    first_row = (top.floor() - 1).clamp(min=0)
    first_column = (left.floor() - 1).clamp(min=0)
    regions = torch.stack(
        [first_row, (bottom.ceil() + 1).clamp(max=height), first_column, (right.ceil() + 1).clamp(max=width)], dim=1
    )
    holds_something = (right > left) & (bottom > top)
    return torch.where(holds_something[:, None], regions, torch.zeros_like(regions)).long()


def _paste(mask: torch.Tensor, box_xyxy: torch.Tensor, top: int, bottom: int, left: int, right: int) -> torch.Tensor:
    """Interpolate a mask (M, M) that fills a box at the pixels of a region, as Detectron2's paste_masks_in_image."""
    # Term by term the same arithmetic, so that the masks are the same to the pixel.
    rows = torch.arange(top, bottom, device=mask.device, dtype=torch.float32) + 0.5
    columns = torch.arange(left, right, device=mask.device, dtype=torch.float32) + 0.5
    rows = (rows - box_xyxy[1]) / (box_xyxy[3] - box_xyxy[1]) * 2 - 1
    columns = (columns - box_xyxy[0]) / (box_xyxy[2] - box_xyxy[0]) * 2 - 1
    size = [bottom - top, right - left]
    grid = torch.stack([columns[None, :].expand(size), rows[:, None].expand(size)], dim=2)
    return grid_sample(mask[None, None], grid[None], align_corners=False)[0, 0]
