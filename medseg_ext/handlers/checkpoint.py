"""Keep all that a training needs to go on after an interruption."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch.optim.lr_scheduler import LambdaLR

from medseg_ext.datasets.data_set_folder import DATASET_FILE
from medseg_ext.errors import DataError
from medseg_ext.files import file_sha256, write_atomically
from medseg_ext.handlers.best_model import save_if_finite, unwrapped
from medseg_ext.handlers.early_stop import EarlyStop
from medseg_ext.networks.weights import find_not_finite, read_saved
from medseg_ext.processes import is_first_process, launch_id, made_by_first_process, may_be_restarted, were_restarted
from medseg_ext.runs.provenance import Provenance
from medseg_ext.runs.run_files import AUTO, CURVE_FILES, MODEL_FILE, refuse_earlier_training

SCALER, SETTINGS = "scaler", "settings"  # beside the parts of a checkpoint
PARTS = "parts"  # of the config, beside its keys
LAUNCH_FILE = ".torchrun"  # names the launch of which the training in the folder is
PENDING_FILE = ".overwrite_pending"  # there until what is to be overwritten is
# Keys that may be others when a training is resumed: what it has learnt or will learn does not depend on them but for
# rounding, they set what it began with, or how long it is.
FREE_KEYS = {
    "bundle_root", "cache_rate", "ckpt_path", "compile", "detectron2_weights", "device", "early_stop_patience",
    "encoder_weights", "gradient_checkpointing", "max_epochs", "num_workers", "object_name", "output_dir", "overwrite",
    "pretrained", "resume", "title",
}  # fmt: skip
# Keys that name what may lie elsewhere, with the file in it whose content tells whether it is the same.
CONTENT_KEYS = {"dataset_dir": DATASET_FILE, "detectron2_config": ""}

logger = logging.getLogger(__name__)


def refuse_to_replace(output_dir: str, *, resume: bool | str = False, overwrite: bool = False) -> None:
    """Stop before a new training replaces what an earlier one has left, which may have taken days.

    Call it before anything is loaded or written. What a training left that `torchrun` starts again is its own; but one
    that was refused, or failed before, is refused again.

    Args:
        output_dir: folder of the training's files; it need not exist.
        resume: the training goes on with what is there; "auto" if there is a checkpoint.
        overwrite: what is there is to be replaced, see `ResumableState`.

    Raises:
        DataError: the folder holds weights, a checkpoint or a curve; or both options are given.
    """
    were_before = were_restarted()
    made_by_first_process(lambda: _take(Path(output_dir), resume=resume, overwrite=overwrite, again=were_before))


def _take(folder: Path, *, resume: bool | str, overwrite: bool, again: bool) -> None:
    launch, pending = folder / LAUNCH_FILE, folder / PENDING_FILE
    if again and launch.is_file() and launch.read_text(encoding="utf-8") == launch_id():
        return
    refuse_earlier_training(folder, resume=resume, overwrite=overwrite)
    if may_be_restarted():
        folder.mkdir(parents=True, exist_ok=True)
        pending.unlink(missing_ok=True)
        if overwrite:
            pending.touch()
        write_atomically(launch, launch_id())


def decisive_settings(settings: Mapping[str, Any], given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Pick what decides how a training goes on, wherever it lies and whatever computes it.

    Args:
        settings: the value of every key of the config.
        given: values that were given for keys, and for parts of the config such as `optimizer#weight_decay`; None if
            nothing tells.

    Returns:
        Values of the keys but for those of `FREE_KEYS`; for a data set folder, and for a file of settings, the SHA-256
        of the file that tells what it is, so that a copy elsewhere is the same. Under `parts`, the values of parts as
        text, or None.
    """
    decisive = {key: value for key, value in settings.items() if key not in FREE_KEYS}
    for key, name in CONTENT_KEYS.items():
        if decisive.get(key) and (file := Path(decisive[key]) / name).is_file():
            decisive[key] = file_sha256(file)
    parts = None if given is None else {key: str(value) for key, value in given.items() if key not in settings}
    return decisive | {PARTS: parts}


class ResumableState:
    """Save all parts of a training after every epoch, and load them when it is resumed.

    Attach it to the trainer, as the last of its handlers, so that an epoch is saved with its validation. When the first
    step is done, the state before it is saved, too: from then on there is something to go on from, and a training that
    fails at once leaves nothing.

    A training that is resumed is the one that was never interrupted, to the last bit, as its random numbers follow from
    the epoch (`SeededEpochs`). It may have more epochs, another batch size or number of processes: the schedule then
    goes on as if it had been planned so from the start. Options of the optimiser are those of the new command.

    Of several processes the first one reads and writes. A process that `torchrun` started again goes on with what there
    is, whatever `resume` says.

    Args:
        parts: what has a state dict, by name: network, optimiser, schedule, trainer, best model, curve.
        path: the file, such as `output_dir/checkpoint.pt`.
        resume: load the file when training starts; else start anew and replace it. "auto" loads it where there is one;
            a training that has ended is then no mistake, and has nothing left to do.
        overwrite: remove the files of an earlier training beside it when the first step is done, so that those of two
            trainings never stand side by side, and a training that fails at once costs nothing.
        settings: the config's keys with their values; the file keeps the decisive ones (`decisive_settings`), and a
            training that goes on with other ones says so in its log.
        provenance: what the training is made with, which is written as soon as there is something to go on from.
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        path: str,
        *,
        resume: bool | str = False,
        overwrite: bool = False,
        settings: Mapping[str, Any] | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        self.settings = dict(settings or {})
        self.provenance = provenance
        self.parts = parts
        self.path = Path(path)
        self.resume = resume
        self.overwrite = overwrite
        self._restarted = False
        self._decisive: dict[str, Any] = {}
        self._begins = False
        self._first: dict[str, Any] | None = None

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.EPOCH_STARTED(once=1), self._take_first)
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=1), self._keep_first)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def start(self, engine: Engine) -> None:
        """Load the state of every part if the training is to be resumed.

        Raises:
            FileNotFoundError: there is nothing to resume.
            DataError: the checkpoint is of another kind of training, or the training has ended.
        """
        self._restarted = were_restarted()
        self._decisive = decisive_settings(self.settings, self.provenance.given if self.provenance else None)
        state = made_by_first_process(self._read)
        if state is not None and self._load(engine, state) and self.provenance:
            self.provenance.write(goes_on=True)
        self._begins = state is None

    def save(self, engine: Engine) -> None:
        """Save the state of every part."""
        save_if_finite(self._state(engine), self.path)

    def _state(self, engine: Engine) -> dict[str, Any]:
        state = {name: unwrapped(part).state_dict() for name, part in self.parts.items()}
        scaler = getattr(engine, "scaler", None)  # of mixed precision on a GPU
        return state | {SETTINGS: self._decisive} | ({SCALER: scaler.state_dict()} if scaler else {})

    def _read(self) -> dict[str, Any] | None:
        """Read the checkpoint; None where the training begins."""
        goes_on = self.path.is_file() if self.resume == AUTO else bool(self.resume)
        if self._restarted:
            is_there = self.path.is_file() or self.resume is True
            goes_on = is_there and not self.path.with_name(PENDING_FILE).exists()
        if not goes_on:
            return None
        if not self.path.is_file():
            raise FileNotFoundError(
                f"{self.path}: no checkpoint to resume from; train without --resume first, or with --resume auto"
            )
        anew = (
            f"train anew without --resume; --ckpt_path {self.path.with_name(MODEL_FILE)} begins with its best weights"
        )
        state = read_saved(self.path, remedy=anew)
        if missing := [name for name in self.parts if name not in state]:
            raise DataError(f"{self.path}: holds no {', '.join(missing)}, as those of this version do: {anew}")
        if name := find_not_finite(state):
            raise DataError(f"{self.path}: {name} holds values that are not finite: {anew}")
        return state

    def _take_first(self, engine: Engine) -> None:
        """Remember the state before the first step, with the validation of the start."""
        if self._begins:
            self._first = deepcopy(self._state(engine))

    def _keep_first(self, engine: Engine) -> None:
        """Save the state before the first step, in the place of an earlier training."""
        first, self._first = self._first, None
        if first is None or not is_first_process():
            return
        if self.overwrite:
            for name in (MODEL_FILE, self.path.name, *CURVE_FILES):
                self.path.with_name(name).unlink(missing_ok=True)
            self.path.with_name(PENDING_FILE).unlink(missing_ok=True)
        for part in self.parts.values():
            if hasattr(part, "write_start"):
                part.write_start()
        save_if_finite(first, self.path)
        if self.provenance:
            self.provenance.write()

    def _load(self, engine: Engine, state: Mapping[str, Any]) -> bool:
        """Load the state of every part; says whether something is left to do."""
        max_epochs, epoch_length = int(engine.state.max_epochs or 0), int(engine.state.epoch_length or 0)
        for name, part in self.parts.items():
            if isinstance(part, LambdaLR):
                _resume_schedule(part, state[name])
            elif isinstance(part, torch.optim.Optimizer):
                _resume_optimizer(part, state[name])
            elif isinstance(part, Engine):
                epoch = state[name]["iteration"] // state[name]["epoch_length"]
                part.load_state_dict({"epoch": epoch, "epoch_length": epoch_length, "max_epochs": max_epochs})
            else:
                unwrapped(part).load_state_dict(state[name])
        scaler = getattr(engine, "scaler", None)
        if scaler and SCALER in state:
            scaler.load_state_dict(state[SCALER])
        if is_first_process():
            self._tell_changes(state.get(SETTINGS, {}))
        if self._has_ended(engine, max_epochs):
            return False
        logger.info("resumed after epoch %d from %s", engine.state.epoch, self.path)
        return True

    def _tell_changes(self, before: Mapping[str, Any]) -> None:
        now = self._decisive
        for key in sorted((before.keys() & now.keys()) - {PARTS}):
            if before[key] == now[key]:
                continue
            if key in CONTENT_KEYS:
                logger.warning("resumed with another --%s: %s is not what it was", key, self.settings[key])
            else:
                logger.warning("resumed with another --%s: it was %s, and is %s", key, before[key], now[key])
        was, given = before.get(PARTS), now[PARTS]
        if was is None or given is None:
            return
        for key in sorted(was.keys() | given.keys()):
            one, other = was.get(key, "not given"), given.get(key, "not given")
            if one != other:
                logger.warning("resumed with another --%s: it was %s, and is %s", key, one, other)

    def _has_ended(self, engine: Engine, max_epochs: int) -> bool:
        """Stop where the training has ended already; one that was started again has then nothing left to do."""
        epoch = engine.state.epoch
        stopped = any(isinstance(part, EarlyStop) and part.has_stopped for part in self.parts.values())
        if epoch < max_epochs and not stopped:
            return False
        if not self._restarted and self.resume != AUTO:
            more = "a larger --early_stop_patience" if stopped else f"a --max_epochs above {epoch}"
            what = f"stopped early, after {epoch} epochs" if stopped else f"has {epoch} epochs already"
            raise DataError(f"{self.path}: {what}; give {more} to go on")
        logger.info("the training has ended, after epoch %d: %s", epoch, self.path)
        engine.terminate()
        return True


def _resume_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[str, Any]) -> None:
    """Take what it has gathered; its options, such as the weight decay, are those of the new command."""
    options = [{key: value for key, value in group.items() if key != "lr"} for group in optimizer.param_groups]
    optimizer.load_state_dict(dict(state))
    for group, of_command in zip(optimizer.param_groups, options, strict=True):
        group |= of_command


def _resume_schedule(schedule: LambdaLR, state: Mapping[str, Any]) -> None:
    """Put a schedule at the epoch where it stopped; its length and base rate are those of the new command."""
    schedule.last_epoch = state["last_epoch"]
    schedule._step_count = state["_step_count"]
    for group, rate in zip(schedule.optimizer.param_groups, schedule.get_lr(), strict=True):
        group["lr"] = rate
