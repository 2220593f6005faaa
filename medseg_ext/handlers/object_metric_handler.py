"""Report object metrics from MONAI's engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from ignite.engine import Engine
from monai.handlers import IgniteMetricHandler
from monai.utils import convert_to_tensor
from torch import Tensor

from medseg_ext.handlers.object_metric import ObjectMetric
from medseg_ext.metrics.overlap import check_same_shape

ObjectPair = tuple[list[Tensor], list[Tensor]]


class ObjectMetricHandler(IgniteMetricHandler):
    """Any metric of `medseg_ext.metrics.metrics_for`, as a key or additional metric of a MONAI engine.

    `engine.state.metrics` gets the score of the epoch's images, a float. With `save_details`,
    `engine.state.metric_details` gets the score of each image alone, shape (N, 1), as MetricsSaver writes it.

    Args:
        name: metric, such as "foreground_iou" or "map".
        class_names: name of each value of the class map, the background first; only metrics of classes need it.
        output_transform: turns `engine.state.output` into lists of predicted and of true objects, each of integers
            (C, H, W): instances, then the class map where it is needed. By default it reads `pred_instances` and
            `true_instances` of each decollated item, and for metrics of classes `pred_classes` and `true_classes`,
            each of shape (1, H, W). (MONAI's engines pass only new keys of the postprocessing on to
            `engine.state.output`, so the truth must be copied under a name that the batch does not have.)
        save_details: whether to keep the images' own scores.

    Raises:
        ValueError: there is no such metric.

    >>> from ignite.engine import Engine
    >>> instances = torch.tensor([[[0, 1, 1]]])
    >>> evaluator = Engine(lambda engine, batch: [{"pred_instances": instances, "true_instances": instances}])
    >>> ObjectMetricHandler("foreground_iou").attach(evaluator, "foreground_iou")
    >>> evaluator.run([0]).metrics
    {'foreground_iou': 1.0}
    """

    def __init__(
        self,
        name: str,
        class_names: Sequence[str] | None = None,
        output_transform: Callable[[Any], ObjectPair] | None = None,
        save_details: bool = True,
    ) -> None:
        metric = ObjectMetric(name, class_names)
        if output_transform is None:
            output_transform = partial(objects_from_output, with_classes=metric.definition.needs_classes)
        super().__init__(metric_fn=metric, output_transform=output_transform, save_details=save_details)
        self.object_metric = metric

    def iteration_completed(self, engine: Engine) -> None:
        """Compare the images of a batch, which are told apart by their `id`, if all have one."""
        super().iteration_completed(engine)
        batch: Any = engine.state.batch
        if isinstance(batch, list) and all(isinstance(item, Mapping) and "id" in item for item in batch):
            self.object_metric.name_images([item["id"] for item in batch])

    def compute(self) -> float:
        """Score the epoch's images."""
        score = super().compute()
        if self.save_details and self._engine is not None:
            details = self.object_metric.per_image_values().unsqueeze(-1)
            self._engine.state.metric_details[self._name] = details  # type: ignore[attr-defined]
        return score


def objects_from_output(output: Sequence[Mapping[str, Tensor]], *, with_classes: bool = False) -> ObjectPair:
    """Collect predicted and true objects from an engine's output.

    Args:
        output: decollated items with `pred_instances` and `true_instances`, integers (1, H, W); for `with_classes`
            also `pred_classes` and `true_classes`.
        with_classes: whether to add the class maps as a second channel.

    Returns:
        Predicted objects and true objects, each a list of integers (C, H, W).

    Raises:
        TypeError: the output is not a list of items, or a map is not of an integer type.
        KeyError: an item lacks a map.
        ValueError: predicted and true maps differ in shape; names both.
    """
    if isinstance(output, Mapping) or not isinstance(output, Sequence):
        raise TypeError(f"engine.state.output must be a list of decollated items, got {type(output).__name__}")
    channels = ("instances", "classes") if with_classes else ("instances",)
    for item in output:
        for channel in channels:
            check_same_shape(_map_of(item, f"pred_{channel}"), _map_of(item, f"true_{channel}"), channel)
    predicted = [torch.cat([_map_of(item, f"pred_{channel}") for channel in channels]) for item in output]
    true = [torch.cat([_map_of(item, f"true_{channel}") for channel in channels]) for item in output]
    return predicted, true


def _map_of(item: Mapping[str, Tensor], key: str) -> Tensor:
    """Read one map (1, H, W) of an item as a plain tensor, int64 so that instances and classes fit together."""
    if key not in item:
        raise KeyError(f"the metric reads {key!r} from each item, which has only {sorted(item)}")
    label_map = convert_to_tensor(item[key], track_meta=False)
    if label_map.is_floating_point():
        raise TypeError(f"{key} must be a label map of an integer type, got {label_map.dtype}")
    return label_map.long()
