"""Keep the best weights of a training."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from medseg_ext.errors import DataError, DivergenceError
from medseg_ext.networks.weights import find_not_finite, save_state
from medseg_ext.processes import is_first_process

logger = logging.getLogger(__name__)


class BestModel:
    """Save the network's weights whenever a validation is the best so far.

    Validations are ordered by the evaluator's key metric, equal ones by a second metric. Where the weights that the
    training starts from are validated first, as epoch 0, they are the first to be kept: then nothing is kept that is
    worse than them, also by a further metric. What is undefined is worse than anything.

    The file holds a plain state dict, as a bundle's `models/model.pt` does. Attach it to the evaluator.

    Args:
        network: the network.
        path: the file, such as `output_dir/model.pt`.
        tie_metric: the second metric; None takes the first of equals.
        guard_metric: the further metric; None has none.

    Attributes:
        best: scores of the weights that are kept, by metric, with `epoch`; None before the first validation.
        start: those of the start; None where it is not validated.
        improvements: number of validations so far that were the best.
    """

    def __init__(
        self, network: torch.nn.Module, path: str, *, tie_metric: str | None = None, guard_metric: str | None = None
    ) -> None:
        self.network = network
        self.path = Path(path)
        self.tie_metric = tie_metric
        self.guard_metric = guard_metric
        self.best: dict[str, float] | None = None
        self.start: dict[str, float] | None = None
        self.improvements = 0
        self._key_metric = ""
        self._start_weights: dict[str, Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator that has a key metric."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def set_trainer(self, trainer: Engine) -> None:
        """Let the log say at the end of a training which weights were kept."""
        trainer.add_event_handler(Events.COMPLETED, self._tell)

    def __call__(self, engine: Engine) -> None:
        """Save the weights if they are the best so far."""
        state: Any = engine.state  # MONAI's engines add the key metric's name
        self._key_metric = state.key_metric_name
        names = [name for name in (self._key_metric, self.guard_metric, self.tie_metric) if name]
        scores = {"epoch": int(state.epoch), **{name: float(state.metrics[name]) for name in names}}
        is_start = state.epoch == 0
        if is_start:
            self.start = scores
        if not self._is_best(scores):
            return
        self.best = scores
        self.improvements += 1
        weights = unwrapped(self.network).state_dict()
        if is_start:
            self._start_weights = deepcopy(weights)
        else:
            save_if_finite(weights, self.path)
            logger.info("%s is the best so far: %s", self._text(scores), self.path)

    def _is_best(self, scores: Mapping[str, float]) -> bool:
        if self.best is None:
            return True
        guard = self.guard_metric
        if self.start and guard and _order(scores, guard) < _order(self.start, guard):
            return False
        names = [name for name in (self._key_metric, self.tie_metric) if name]
        return [_order(scores, name) for name in names] > [_order(self.best, name) for name in names]

    def write_start(self) -> None:
        """Save the weights of the start, which waits until the training's first step is done."""
        if self._start_weights is not None:
            save_if_finite(self._start_weights, self.path)
            self._start_weights = None

    @property
    def result(self) -> str:
        """Say in a sentence which weights are kept, by which scores on the validation images."""
        if self.best is None:
            return "no weights were validated, and none are kept"
        if self.best["epoch"] == 0:
            return (
                "the weights that the training started from were the best on the validation images, so they are kept: "
                f"{self._text(self.best)}"
            )
        return f"kept are the weights of epoch {self.best['epoch']:g}: {self._text(self.best)}"

    def _text(self, scores: Mapping[str, float]) -> str:
        names = [name for name in scores if name != "epoch"]
        if self.start is None or scores["epoch"] == 0:
            return ", ".join(f"{name} {scores[name]:.4f}" for name in names)
        return ", ".join(f"{name} {scores[name]:.4f} (start: {self.start[name]:.4f})" for name in names)

    def _tell(self, trainer: Engine) -> None:
        if is_first_process():
            logger.info("%s", self.result)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training must know."""
        names = ("best", "start", "improvements")
        return {name: deepcopy(getattr(self, name)) for name in names} | {"key_metric": self._key_metric}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take the scores of the training that is resumed.

        Raises:
            DataError: they are those of another version.
        """
        if not {"best", "start", "improvements", "key_metric"} <= state.keys():
            raise DataError(f"the training beside {self.path} is of another version: train anew without --resume")
        self.best, self.start, self.improvements = state["best"], state["start"], int(state["improvements"])
        self._key_metric = state["key_metric"]


def _order(scores: Mapping[str, float], name: str) -> float:
    """Give a score for comparisons, in which NaN would be neither more nor less."""
    return float("-inf") if scores[name] != scores[name] else scores[name]


class StartValidation:
    """Validate the weights that a training starts from, as its epoch 0, before its first step.

    Attach it to the trainer after what loads them, and after what loads the state of a training that is resumed, which
    has done so.

    Args:
        evaluator: MONAI's evaluator of the training.
        best_model: attached to it.
    """

    def __init__(self, evaluator: Evaluator, best_model: BestModel) -> None:
        self.evaluator = evaluator
        self.best_model = best_model

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Validate, unless it was done."""
        if engine.state.epoch == 0 and self.best_model.start is None:
            self.evaluator.run(0)


def save_if_finite(content: Any, path: Path) -> None:
    """Save with `save_state`; of several processes only the first one writes.

    Raises:
        DivergenceError: what is to be saved is not finite.
    """
    if name := find_not_finite(content):
        raise DivergenceError(f"the training diverges: {name} is not finite, so that {path} is left as it is")
    if is_first_process():
        save_state(content, path)


def unwrapped(part: Any) -> Any:
    """Take a network out of DistributedDataParallel, so that its weights fit any number of processes."""
    return part.module if isinstance(part, torch.nn.parallel.DistributedDataParallel) else part
