"""Calibrate the scores of objects at each validation of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from medseg_ext.handlers.best_model import BestModel
from medseg_ext.metrics.calibration import which_are_right
from medseg_ext.metrics.image_comparison import compare_image
from medseg_ext.metrics.score_calibration import ScoreCalibration, fit_calibration
from medseg_ext.processes import gather_objects, is_first_process

ScoredObjects = dict[str, tuple[np.ndarray, np.ndarray]]
"""Scores, float (N,), and whether they are right, bool (N,), of the objects of each image by its id."""


class FittedScores:
    """Fit the calibration of scores to the validation images, for the weights that are kept.

    It writes `score_calibration.json` beside them, from which `medseg evaluate`, `segment` and `ship` take it: one that
    changes nothing where the objects are too few. Attach it to the evaluator, after `best_model`. The data have an
    `id`; the output has `pred_instances`, `pred_scores` as the network gives them, and `true_instances`.

    Args:
        best_model: which knows the best validation so far.
        output_dir: folder of the file, that of the weights.
    """

    def __init__(self, best_model: BestModel, output_dir: str) -> None:
        self.best_model = best_model
        self.output_dir = Path(output_dir)
        self._objects: ScoredObjects = {}

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.EPOCH_STARTED, self._forget)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._compare)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._fit)

    def _forget(self, engine: Engine) -> None:
        self._objects = {}

    def _compare(self, engine: Engine) -> None:
        state: Any = engine.state  # after MONAI's postprocessing both are lists of dicts
        for item, output in zip(state.batch, state.output, strict=True):
            pred, true = (torch.as_tensor(output[f"{side}_instances"]) for side in ("pred", "true"))
            scores = np.asarray(output["pred_scores"])
            is_right = which_are_right(compare_image(pred, true), len(scores)).numpy()
            self._objects[item["id"]] = scores, is_right

    def _fit(self, engine: Engine) -> None:
        best = self.best_model.best
        # Of several processes all have the same best epoch, and gather.
        if best is None or best["epoch"] != engine.state.epoch:
            return
        by_id = {name: pair for part in gather_objects(self._objects) for name, pair in part.items()}
        if is_first_process():
            scores, is_right = (np.concatenate(column) for column in zip(*by_id.values(), strict=True))
            fitted = fit_calibration(scores, is_right) or ScoreCalibration()
            fitted.write(self.output_dir, objects=len(scores))
