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


def whose_scores(weights: Path) -> str:
    """Say what the scores of a training's weights are calibrated by, after "as": a fit, or nothing, and why.

    Raises:
        DataError: `score_calibration.json` is broken.
    """
    from medseg_ext.metrics.score_calibration import LEAST_OBJECTS, read_calibration

    found = read_calibration(weights.parent)
    if found is None:
        return f"{weights} gives them, without a fit"
    objects = found[1]
    if objects >= LEAST_OBJECTS:
        return f"fitted for {weights}"
    return (
        f"{weights} gives them, not fitted: {objects} object{'' if objects == 1 else 's'} found in the validation "
        f"images, below {LEAST_OBJECTS}"
    )
