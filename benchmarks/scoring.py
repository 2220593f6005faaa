"""Metrics of many objects."""

from __future__ import annotations

import numpy as np

from benchmarks.aims import Faster, LessMemory
from benchmarks.rows import OURS, PEERS, Contender, Row
from benchmarks.scenes import SCORED_OBJECTS, SCORED_SHIFT_PX, SCORED_SIDE_PX, crowd
from benchmarks.worker import Work

NAMES = ("StarDist", "torchmetrics", "pycocotools")

ROWS = [
    Row(
        "metrics",
        f"Scores of {SCORED_OBJECTS:,} objects in {SCORED_SIDE_PX} x {SCORED_SIDE_PX}",
        [
            Contender(OURS, "benchmarks.scoring:ours"),
            Contender("StarDist", "benchmarks.peers.stardist:matching", {}, PEERS, most_rounds=2),
            Contender("torchmetrics", "benchmarks.scoring:torchmetrics", most_rounds=2),
            Contender("pycocotools", "benchmarks.scoring:pycocotools", most_rounds=2),
        ],
        [*(Faster(name, 5) for name in NAMES), *(LessMemory(name, 10) for name in NAMES)],
        seconds=60,
        left_out="Ours gives all metrics of an evaluation: AP and panoptic quality at ten thresholds, AJI, Dice, IoU. "
        "StarDist's `matching` those of pairs at IoU 0.5; torchmetrics panoptic quality; pycocotools the IoU of all "
        "pairs, of masks that are encoded before the clock starts.",
    ),
]


def maps() -> tuple[np.ndarray, np.ndarray]:
    """Give predicted and true label maps, int32."""
    true = crowd(SCORED_SIDE_PX, SCORED_OBJECTS)
    return crowd(SCORED_SIDE_PX, SCORED_OBJECTS, shift_px=SCORED_SHIFT_PX), true


def ours() -> Work:
    """Compare the maps once, and score them by all metrics of an evaluation of nuclei."""
    import torch

    from medseg_ext.metrics import compare_image, image_statistics, metrics_for, per_image_values, stack_statistics

    pred, true = (torch.from_numpy(each) for each in maps())
    pred_classes, true_classes = ((each > 0).to(torch.uint8) for each in (pred, true))
    definitions = metrics_for(["background", "nucleus"])

    def score() -> float:
        comparison = compare_image(pred, true, pred_classes, true_classes)
        statistics = stack_statistics([image_statistics(comparison, definitions)])
        return float(per_image_values(statistics, definitions)["ap_50"])

    return Work(score)


def torchmetrics() -> Work:
    """Score panoptic quality."""
    import torch
    from torchmetrics.functional.detection import panoptic_quality

    pred, true = (torch.stack([(m > 0).int(), m], dim=-1)[None] for m in map(torch.from_numpy, maps()))

    def score() -> float:
        return float(panoptic_quality(pred, true, things={1}, stuffs={0}))

    return Work(score)


def pycocotools() -> Work:
    """Give the IoU of all pairs of masks, on which COCO's metrics stand."""
    from pycocotools import mask

    pred, true = (_encoded(each) for each in maps())

    def score() -> float:
        iou = mask.iou(pred, true, np.zeros(len(true), np.uint8))
        return float((iou.max(axis=1) >= 0.5).mean())

    return Work(score)


def _encoded(labels: np.ndarray) -> list[dict]:
    """Encode each object as COCO does, by the runs of its pixels down the columns."""
    from pycocotools import mask

    flat = labels.ravel(order="F")
    starts = np.flatnonzero(np.diff(flat, prepend=-1))
    lengths = np.diff(np.append(starts, flat.size))
    order = np.argsort(flat[starts], kind="stable")
    numbers, first = np.unique(flat[starts][order], return_index=True)
    encoded = []
    for number, runs in zip(numbers, np.split(order, first[1:]), strict=True):
        if number > 0:
            edges = np.stack([starts[runs], starts[runs] + lengths[runs]], axis=1).ravel()
            counts = np.diff(np.concatenate([[0], edges, [flat.size]]))
            encoded.append({"size": list(labels.shape), "counts": counts.tolist()})
    return [mask.frPyObjects(each, *labels.shape) for each in encoded]
