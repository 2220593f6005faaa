"""Keep the best weights of a training, and all that it needs to go on after an interruption."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import LambdaLR

from medseg_ext.errors import DataError
from medseg_ext.networks.weights import save_state
from medseg_ext.processes import is_first_process
from medseg_ext.runs.training_curve import CURVE_FILES

MODEL_FILE, CHECKPOINT_FILE = "model.pt", "checkpoint.pt"  # in the output_dir of a training, beside `CURVE_FILES`

logger = logging.getLogger(__name__)


def _save(content: Any, path: Path) -> None:
    """Save with `save_state`; of several processes only the first one writes."""
    if is_first_process():
        save_state(content, path)


def refuse_to_replace(output_dir: str, *, resume: bool = False, overwrite: bool = False) -> None:
    """Stop before a new training replaces what an earlier one has left, which may have taken days.

    Call it before anything is loaded or written.

    Args:
        output_dir: folder of the training's files; it need not exist.
        resume: the training goes on with what is there.
        overwrite: what is there is to be replaced, see `ResumableState`.

    Raises:
        DataError: the folder holds weights, a checkpoint or a curve; or both options are given.
    """
    if resume and overwrite:
        raise DataError(
            f"{output_dir}: --resume True goes on with the training that is there, --overwrite True replaces it: "
            "give one of them"
        )
    there = [name for name in (MODEL_FILE, CHECKPOINT_FILE, *CURVE_FILES) if (Path(output_dir) / name).exists()]
    if there and not (resume or overwrite):
        raise DataError(
            f"{output_dir} holds {', '.join(there)} of an earlier training, which a new one would replace: give "
            "--resume True to go on with it, another folder to train anew, or --overwrite True to replace it"
        )


class BestModel:
    """Save the network's weights whenever the validation's key metric reaches a new best.

    The file holds a plain state dict, as a bundle's `models/model.pt` does. Attach it to the evaluator.

    Args:
        network: the network.
        path: the file, such as `output_dir/model.pt`.
    """

    def __init__(self, network: torch.nn.Module, path: str) -> None:
        self.network = network
        self.path = Path(path)
        self.best = float("-inf")

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator that has a key metric."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save the weights if the metric is the best so far."""
        state: Any = engine.state  # MONAI's engines add the key metric's name
        name = state.key_metric_name
        value = state.metrics[name]
        if value > self.best:
            self.best = value
            _save(_unwrapped(self.network).state_dict(), self.path)
            logger.info("%s %.4f is the best so far: %s", name, value, self.path)

    def state_dict(self) -> dict[str, float]:
        """Return what a resumed training must know."""
        return {"best": float(self.best)}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Take the best value of the training that is resumed."""
        self.best = state["best"]


class ResumableState:
    """Save all parts of a training after every epoch, and load them when it is resumed.

    Attach it to the trainer, as the last of its handlers, so that an epoch is saved with its validation. A resumed
    training may have more epochs, another batch size or number of processes: the schedule then goes on as if it had
    been planned so from the start. Early stopping counts anew.

    Args:
        parts: what has a state dict, by name: network, optimiser, schedule, trainer, best model, curve.
        path: the file, such as `output_dir/checkpoint.pt`.
        resume: load the file when training starts; else start anew and replace it.
        overwrite: remove the files of an earlier training beside it when the first step is done, so that those of two
            trainings never stand side by side, and a training that fails at once costs nothing.
    """

    def __init__(self, parts: Mapping[str, Any], path: str, *, resume: bool = False, overwrite: bool = False) -> None:
        self.parts = parts
        self.path = Path(path)
        self.resume = resume
        self.overwrite = overwrite

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.STARTED, self.load)
        if self.overwrite:
            engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), self._remove_earlier)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def save(self, engine: Engine) -> None:
        """Save the state of every part."""
        _save({name: _unwrapped(part).state_dict() for name, part in self.parts.items()}, self.path)

    def _remove_earlier(self, engine: Engine) -> None:
        if is_first_process():
            for name in (MODEL_FILE, self.path.name, *CURVE_FILES):
                self.path.with_name(name).unlink(missing_ok=True)

    def load(self, engine: Engine) -> None:
        """Load the state of every part if the training is to be resumed.

        Raises:
            FileNotFoundError: there is nothing to resume.
            DataError: the checkpoint is of another kind of training, or has as many epochs as are asked for already.
        """
        if not self.resume:
            return
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: no checkpoint to resume from; train without --resume first")
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        missing = [name for name in self.parts if name not in state]
        if missing:
            raise DataError(
                f"{self.path}: holds no {', '.join(missing)}, as those of this version do: train anew without "
                f"--resume; --ckpt_path {self.path.with_name(MODEL_FILE)} begins with its best weights"
            )
        max_epochs, epoch_length = int(engine.state.max_epochs or 0), int(engine.state.epoch_length or 0)
        for name, part in self.parts.items():
            if isinstance(part, LambdaLR):
                _resume_schedule(part, state[name])
            elif isinstance(part, Engine):
                epoch = state[name]["iteration"] // state[name]["epoch_length"]
                part.load_state_dict({"epoch": epoch, "epoch_length": epoch_length, "max_epochs": max_epochs})
            else:
                _unwrapped(part).load_state_dict(state[name])
        if engine.state.epoch >= max_epochs:
            raise DataError(
                f"{self.path}: has {engine.state.epoch} epochs already; give a --max_epochs above {engine.state.epoch}"
            )
        logger.info("resumed after epoch %d from %s", engine.state.epoch, self.path)


def _resume_schedule(schedule: LambdaLR, state: Mapping[str, Any]) -> None:
    """Put a schedule at the epoch where it stopped; its length and base rate are those of the new command."""
    schedule.last_epoch = state["last_epoch"]
    for group, rate in zip(schedule.optimizer.param_groups, schedule.get_lr(), strict=True):
        group["lr"] = rate


def _unwrapped(part: Any) -> Any:
    """Take a network out of DistributedDataParallel, so that its weights fit any number of processes."""
    return part.module if isinstance(part, torch.nn.parallel.DistributedDataParallel) else part
