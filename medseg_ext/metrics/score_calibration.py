"""Map the scores of objects to the frequencies with which they are right."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import expit, logit

from medseg_ext.errors import DataError
from medseg_ext.files import CALIBRATION_FILE, told_if_unreadable, write_atomically

LEAST_OBJECTS = 100  # fewer tell too little
CERTAIN = 1e-6  # scores are kept so far from 0 and 1, whose logits are infinite
TEMPERATURES = (0.1, 10.0)  # bounds of a fit
DIGITS = 3  # of what is fitted


@dataclass(frozen=True)
class ScoreCalibration:
    """A map of scores that keeps their order: sigmoid(logit(score) / temperature + bias).

    Attributes:
        temperature: above 0; above 1 it brings scores nearer to one half.
        bias: added to the logit.

    Raises:
        ValueError: the temperature is not above 0, or one of both is not finite.

    Source: with a bias, Platt, Probabilistic Outputs for Support Vector Machines, 1999; without, Guo et al., On
        Calibration of Modern Neural Networks, ICML 2017.

    >>> ScoreCalibration(temperature=2.0)(np.array([0.0, 0.5, 0.9, 1.0])).round(3).tolist()
    [0.001, 0.5, 0.75, 0.999]
    """

    temperature: float = 1.0
    bias: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.temperature < math.inf):
            raise ValueError(f"temperature must be above 0 and finite, got {self.temperature}")
        if not math.isfinite(self.bias):
            raise ValueError(f"bias must be finite, got {self.bias}")

    @property
    def is_identity(self) -> bool:
        """Whether it leaves scores as they are, to the last digit."""
        return self.temperature == 1 and self.bias == 0

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Map scores in [0, 1], floats of any shape; of the same type and in [0, 1]."""
        if self.is_identity:
            return scores
        kept = np.clip(np.asarray(scores, dtype=np.float64), CERTAIN, 1 - CERTAIN)
        return expit(logit(kept) / self.temperature + self.bias).astype(scores.dtype)

    def raw(self, score: float) -> float:
        """Give the score that is mapped to one in (0, 1).

        >>> calibration = ScoreCalibration(temperature=1.5, bias=-0.4)
        >>> round(float(calibration(np.array([calibration.raw(0.9)]))[0]), 6)
        0.9
        """
        return float(expit((logit(score) - self.bias) * self.temperature))

    def write(self, folder: Path, *, objects: int) -> Path:
        """Write it into a training's folder, with the number of objects that it was fitted to."""
        content = {"score_temperature": self.temperature, "score_bias": self.bias, "objects": objects}
        write_atomically(folder / CALIBRATION_FILE, json.dumps(content, indent=4) + "\n")
        return folder / CALIBRATION_FILE

    @classmethod
    def read(cls, folder: Path) -> ScoreCalibration | None:
        """Read it of a training's folder; None where there is none.

        Raises:
            DataError: the file is broken; names it.
        """
        found = read_calibration(folder)
        return None if found is None else found[0]


def read_calibration(folder: Path) -> tuple[ScoreCalibration, int] | None:
    """Read the calibration of a training's folder, and how many objects were found in the validation images.

    Below `LEAST_OBJECTS` it was not fitted, and changes nothing.

    Returns:
        Both; None where there is no file.

    Raises:
        DataError: the file is broken; names it.
    """
    file = folder / CALIBRATION_FILE
    if not file.is_file():
        return None
    try:
        with told_if_unreadable(file):
            content = json.loads(file.read_text(encoding="utf-8"))
        calibration = ScoreCalibration(float(content["score_temperature"]), float(content["score_bias"]))
        return calibration, int(content.get("objects", LEAST_OBJECTS))
    except DataError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is broken ({error}): remove it, and scores stay as the network gives them") from error


def fit_calibration(scores: np.ndarray, is_right: np.ndarray, *, with_bias: bool = True) -> ScoreCalibration | None:
    """Fit the map to objects of which is known whether they are right, by maximum likelihood.

    Args:
        scores: as the network gives them, floats (N,) in [0, 1].
        is_right: bool (N,).
        with_bias: whether there is a bias beside the temperature.

    Returns:
        The map, with `DIGITS` digits; None for fewer than `LEAST_OBJECTS` objects.
    """
    from scipy.optimize import minimize  # takes a while to load, and only fits need it

    if len(scores) < LEAST_OBJECTS:
        return None
    logits = logit(np.clip(np.asarray(scores, dtype=np.float64), CERTAIN, 1 - CERTAIN))
    n_right = int(np.count_nonzero(is_right))
    # Platt's targets: where all are right the likelihood alone would go on to infinity.
    targets = np.where(is_right, (n_right + 1) / (n_right + 2), 1 / (len(logits) - n_right + 2))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, bias = parameters
        moved = slope * logits + bias
        errors = expit(moved) - targets
        value = np.mean(np.logaddexp(0, moved) - targets * moved)
        return float(value), np.array([np.mean(errors * logits), np.mean(errors) if with_bias else 0.0])

    bounds = [(1 / TEMPERATURES[1], 1 / TEMPERATURES[0]), (None, None)]
    slope, bias = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=bounds).x
    return ScoreCalibration(round(float(1 / slope), DIGITS), round(float(bias), DIGITS))
