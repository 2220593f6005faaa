"""Stop a training that diverges."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import IterationEvents
from monai.utils.enums import CommonKeys

from medseg_ext.datasets.epoch_batches import EpochBatches
from medseg_ext.errors import DataError, DivergenceError, NotFiniteError
from medseg_ext.networks.weights import find_not_finite
from medseg_ext.runs.run_files import CHECKPOINT_FILE

IDS_SHOWN = 20


class StopWhenDiverged:
    """Stop a training at once when its loss, its weights, or what its network gives are no longer finite.

    Nothing of that is saved, so that weights and checkpoint stay those of the last good epoch. The loss is looked at
    before the step that it would lead to, and the weights before the validation.

    Attach it to a trainer of MONAI, as the first of its handlers: errors that name their cause then end the training
    without a traceback in its log.

    Args:
        network: the network that is trained.
        batches: those that the trainer gets.
        images: those of the data set, each with its `id`.
        output_dir: folder of the training's checkpoint.
    """

    def __init__(
        self,
        *,
        network: torch.nn.Module,
        batches: EpochBatches,
        images: Sequence[Mapping[str, Any]],
        output_dir: str,
    ) -> None:
        self.network = network
        self.batches = batches
        self.images = images
        self.checkpoint = Path(output_dir) / CHECKPOINT_FILE

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_loss)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.check_weights)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.explain)

    def check_loss(self, engine: Engine) -> None:
        """Look at the loss of a step.

        Raises:
            DivergenceError: it is not finite; names the images of the batch.
        """
        output: Any = engine.state.output
        loss = float(output[CommonKeys.LOSS].detach())
        if not math.isfinite(loss):
            raise DivergenceError(self._message(engine, f"the loss is {loss}"))

    def check_weights(self, engine: Engine) -> None:
        """Look at the weights at the end of an epoch.

        Raises:
            DivergenceError: they are not finite.
        """
        is_last = engine.state.iteration % (engine.state.epoch_length or 1) == 0
        name = find_not_finite(self.network.state_dict()) if is_last else ""
        if name:
            raise DivergenceError(self._message(engine, f"{name} is not finite"))

    def explain(self, engine: Engine, error: BaseException) -> None:
        """Say of an error what it comes from, if it is known.

        Raises:
            DivergenceError: the network gave what is not finite.
            DataError: as it came.
        """
        causes = [error]
        while causes[-1].__cause__ is not None:
            causes.append(causes[-1].__cause__)
        for cause in causes:
            if isinstance(cause, DivergenceError):
                raise cause
            if isinstance(cause, (FloatingPointError, NotFiniteError)):  # Detectron2 raises the first
                raise DivergenceError(self._message(engine, str(cause).strip().rstrip("."))) from error
            if isinstance(cause, DataError):
                raise cause

    def _message(self, engine: Engine, what: str) -> str:
        length = engine.state.epoch_length or 1
        step = max(engine.state.iteration - 1, 0) % length
        ids = [str(self.images[draw.image]["id"]) for draw in self.batches.whole_batch(step)]
        more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
        group = engine.optimizer.param_groups[0]  # type: ignore[attr-defined]
        rate = group.get("initial_lr", group["lr"])  # what a schedule varies
        kept = (
            f"; {self.checkpoint} has the state before: --resume True goes on from it"
            if self.checkpoint.is_file()
            else ""
        )
        return (
            f"the training diverges: {what}, in epoch {engine.state.epoch}, step {step + 1} of {length}, with the "
            f"images {', '.join(ids[:IDS_SHOWN])}{more}: give a --learning_rate below {rate:g}, or look at these "
            f"images{kept}"
        )
