"""Accumulate a metric over batches of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.metrics import CumulativeIterationMetric
from monai.utils import convert_to_tensor
from torch import Tensor

from medseg_ext.metrics.definitions import metric_named
from medseg_ext.metrics.image_comparison import ImageComparison, compare_image
from medseg_ext.processes import gather_objects


class ObjectMetric(CumulativeIterationMetric):
    """Any metric of `metrics_for`, in the form in which MONAI accumulates metrics.

    It is called with predicted and true objects: lists of tensors (C, H, W), or batches (B, C, H, W), of an integer
    type. Channel 0 holds the instances; channel 1, which only metrics of classes need, the class map. It remembers
    one float64 row an image, which the processes of a run exchange. An image that two of them have, as a sampler gives
    all as many, counts once, if `name_images` tells them apart. The score is the same to the last digit in whichever
    order, and by whichever process, the images come.

    Args:
        name: a key of `metrics_for(class_names)`.
        class_names: name of each value of the class map, the background first; only metrics of classes need it.

    Raises:
        ValueError: there is no such metric.

    >>> metric = ObjectMetric("ap_50")
    >>> halves, whole = torch.tensor([[[1, 1, 2, 2]]]), torch.tensor([[[1, 1, 1, 1]]])
    >>> _ = metric([halves], [whole])
    >>> _ = metric([whole], [whole])
    >>> round(metric.aggregate(), 3)  # pooled: (1 + 1) / (2 + 1)
    0.667
    """

    def __init__(self, name: str, class_names: Sequence[str] | None = None) -> None:
        super().__init__()
        self.definition = metric_named(name, class_names)

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._ids: list[str] = []

    def name_images(self, ids: Sequence[str]) -> None:
        """Tell the images apart that were compared last, by their ids."""
        self._ids += ids

    def _sync(self) -> None:
        """Gather the rows of all processes, those of each image once; takes the place of MONAI's."""
        if self._synced or self._buffers is None:
            return
        (rows,) = self._buffers
        names: list[str | None] = list(self._ids) if len(self._ids) == len(rows) else [None] * len(rows)
        gathered = [pair for part in gather_objects((names, torch.stack(rows))) for pair in zip(*part, strict=True)]
        kept = {number if name is None else name: row for number, (name, row) in enumerate(gathered)}
        self._synced_tensors = [torch.stack(list(kept.values()))]
        self._synced = True

    def _compute_tensor(self, y_pred: Tensor, y: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Give the statistics of each image of a batch, shape (B, K)."""
        if y is None:
            raise ValueError(f"{self.definition.name} needs the true objects, got None")
        comparisons = (self._compare(pred, true) for pred, true in zip(y_pred, y, strict=True))
        return torch.stack([self.definition.statistics(comparison) for comparison in comparisons])

    def _compare(self, pred: Tensor, true: Tensor) -> ImageComparison:
        """Compare the objects (C, H, W) of one image."""
        pred, true = convert_to_tensor(pred, track_meta=False), convert_to_tensor(true, track_meta=False)
        if not self.definition.needs_classes:
            return compare_image(pred[0], true[0])
        if len(pred) < 2 or len(true) < 2:
            raise ValueError(
                f"{self.definition.name} needs two channels, instances and classes, "
                f"got shapes {tuple(pred.shape)} and {tuple(true.shape)}"
            )
        return compare_image(pred[0], true[0], pred[1], true[1])

    def per_image_values(self) -> Tensor:
        """Score each image so far alone; shape (N,), NaN where undefined."""
        statistics = self.get_buffer()
        return torch.zeros(0) if statistics is None else self.definition.reduce(statistics.unsqueeze(-2))

    def aggregate(self) -> float:
        """Score all images so far; NaN where undefined, as before the first image."""
        statistics = self.get_buffer()
        if statistics is None:
            return math.nan
        order = np.lexsort(statistics.cpu().numpy().T)  # sums depend on the order, in their last digits
        return float(self.definition.reduce(statistics[order]))
