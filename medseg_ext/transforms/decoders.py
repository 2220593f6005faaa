"""Decode the outputs of networks into objects, as MONAI transforms."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from medseg_ext.errors import NotFiniteError
from medseg_ext.metrics.score_calibration import ScoreCalibration
from medseg_ext.objects.detections import decode_detections
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.watershed import decode_semantic


class DecodeObjectsd(MapTransform):
    """Decode a network's output into objects: adds `pred_instances`, `pred_classes` and `pred_scores`.

    The objects get the size that the image had when it was loaded (from the image's metadata), whatever the size at
    which the network worked. Subclasses say how to decode.

    `pred_scores` are calibrated. `decode` gives the network's own scores: thresholds are compared with these, so that
    a calibration changes no object, and tiles join objects by them, before `calibrate`.

    Args:
        keys: the output of one image.
        image_key: the image whose metadata tell the original size; where they don't, the size of the output is kept.
        decode: gives the objects of an output at a `size`; `border` tells it which sides are those of the image, where
            it is a tile's.
        score_temperature: of the scores, see `medseg_ext.metrics.ScoreCalibration`; by default they stay as they are.
        score_bias: likewise.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        image_key: str,
        decode: Callable[..., Objects],
        score_temperature: float = 1.0,
        score_bias: float = 0.0,
    ) -> None:
        super().__init__(keys)
        self.image_key = image_key
        self.decode = decode
        self.calibrate = ScoreCalibration(score_temperature, score_bias)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Return the data with the objects added.

        Raises:
            NotFiniteError: an output holds infinite values or NaN, in which there are no objects to be found.
        """
        result = dict(data)
        for key in self.key_iterator(result):
            if not torch.isfinite(result[key]).all():
                raise NotFiniteError("the network gives values that are not finite")
            objects = self.decode(result[key], size=_original_size(result.get(self.image_key)))
            result["pred_instances"] = objects.instances
            result["pred_classes"] = objects.classes
            result["pred_scores"] = torch.from_numpy(self.calibrate(np.asarray(objects.scores)))
        return result


class DecodeSemanticd(DecodeObjectsd):
    """Decode the logits of a semantic network, as `DecodeObjectsd`.

    Args:
        keys: the logits, float (C + 1, h, w).
        image_key: see `DecodeObjectsd`.
        foreground_threshold: see `decode_semantic`.
        seed_prominence: likewise.
        min_area_px: likewise.
        min_border_area_px: likewise.
        score_threshold: likewise.
        score_temperature: see `DecodeObjectsd`.
        score_bias: likewise.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        image_key: str = "image",
        foreground_threshold: float = 0.5,
        seed_prominence: float = 0.15,
        min_area_px: float = 15,
        min_border_area_px: float = 0,
        score_threshold: float = 0.0,
        score_temperature: float = 1.0,
        score_bias: float = 0.0,
    ) -> None:
        decode = partial(
            decode_semantic,
            foreground_threshold=foreground_threshold,
            seed_prominence=seed_prominence,
            min_area_px=min_area_px,
            min_border_area_px=min_border_area_px,
            score_threshold=score_threshold,
        )
        super().__init__(
            keys, image_key=image_key, decode=decode, score_temperature=score_temperature, score_bias=score_bias
        )


def _original_size(image: torch.Tensor | None) -> tuple[int, int] | None:
    shape = getattr(image, "meta", {}).get("spatial_shape")
    return None if shape is None else (int(shape[0]), int(shape[1]))


class DecodeDetectionsd(DecodeObjectsd):
    """Decode the dense output of a detecting network, as `DecodeObjectsd`.

    Args:
        keys: the output, float (1 + C, h, w).
        image_key: see `DecodeObjectsd`.
        score_threshold: see `decode_detections`.
        min_area_px: likewise.
        min_border_area_px: likewise.
        score_temperature: see `DecodeObjectsd`.
        score_bias: likewise.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        *,
        image_key: str = "image",
        score_threshold: float = 0.5,
        min_area_px: float = 15,
        min_border_area_px: float = 0,
        score_temperature: float = 1.0,
        score_bias: float = 0.0,
    ) -> None:
        decode = partial(
            decode_detections,
            score_threshold=score_threshold,
            min_area_px=min_area_px,
            min_border_area_px=min_border_area_px,
        )
        super().__init__(
            keys, image_key=image_key, decode=decode, score_temperature=score_temperature, score_bias=score_bias
        )
