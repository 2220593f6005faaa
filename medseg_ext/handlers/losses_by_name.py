"""Follow each loss of a network that returns several."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.utils.enums import CommonKeys

from medseg_ext.processes import mean_over_processes


class LossesByName:
    """Make every loss a metric of the trainer: its mean over the epoch so far, at its end over all processes.

    So MONAI's `StatsHandler` logs them and `TensorBoardStatsHandler` draws them, as all metrics. Attach it to a trainer
    whose network returns a dict of losses in training, as `MaskRCNN` does. They are taken out of the engine's output,
    which is for what belongs to single images.
    """

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}
        self._iterations = 0

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer of MONAI."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.collect)

    def start(self, engine: Engine) -> None:
        """Begin an epoch."""
        self._sums, self._iterations = {}, 0

    def collect(self, engine: Engine) -> None:
        """Add the losses of an iteration.

        Raises:
            TypeError: the network gave something else.
        """
        state: Any = engine.state
        losses = state.output.pop(CommonKeys.PRED)
        if not isinstance(losses, dict):
            raise TypeError(f"LossesByName: expected a dict of losses, got {type(losses).__name__}")
        self._iterations += 1
        for name, loss in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros((), device=loss.device)) + loss.detach().float()
            mean = float(self._sums[name]) / self._iterations
            state.metrics[name] = mean_over_processes(mean) if self._iterations == state.epoch_length else mean
