"""Give weights the calibration of their own scores, and never that of others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCORE_KEYS = ("score_temperature", "score_bias")


def score_settings(weights: Path, config: Mapping[str, Any]) -> dict[str, float]:
    """Give the keys of a config that calibrate the scores of a training's weights, where it has others.

    Args:
        weights: such as a run's `model.pt`; without `score_calibration.json` beside them their scores stay as they are.
        config: values by key.

    Raises:
        DataError: the file is broken; names it.
    """
    from medseg_ext.metrics.score_calibration import ScoreCalibration  # which loads PyTorch

    own = ScoreCalibration.read(weights.parent) or ScoreCalibration()
    values = dict(zip(SCORE_KEYS, (own.temperature, own.bias), strict=True))
    return {key: value for key, value in values.items() if key in config and config[key] != value}
