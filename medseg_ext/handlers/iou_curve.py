"""Record and draw the IoU of every epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from medseg_ext.handlers.best_model import BestModel
from medseg_ext.pages.plots import draw_iou_curve
from medseg_ext.processes import is_first_process, mean_over_processes
from medseg_ext.runs.run_files import CSV_FILE, PICTURE_FILE
from medseg_ext.runs.training_curve import KEPT, OBJECT_METRICS, write_training_curve


class IoUCurve:
    """Write `iou_curve.csv` and `iou_curve.png` after every validation; that of the start is epoch 0.

    Attach it to the evaluator; it reads the trainer's state for the training's share.

    Args:
        output_dir: folder of the two files.
        metric: name of the metric in both engines.
        title: heading of the picture.
        best_model: attached to the evaluator before, to mark the epoch that is kept; None marks the best ones.
    """

    def __init__(
        self, output_dir: str, *, metric: str = "foreground_iou", title: str = "", best_model: BestModel | None = None
    ) -> None:
        self.output_dir = Path(output_dir)
        self.metric = metric
        self.title = title
        self.best_model = best_model
        self.trainer: Engine | None = None
        self.rows: list[dict[str, float]] = []
        self._losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Attach to the evaluator."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def set_trainer(self, trainer: Engine) -> None:
        """Say whose epochs are counted; a trainer and its evaluator cannot both be constructor arguments."""
        self.trainer = trainer
        trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: self._losses.clear())
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._collect_loss)

    def _collect_loss(self, trainer: Engine) -> None:
        output: Any = trainer.state.output
        self._losses.append(float(output[0]["loss"]))

    def __call__(self, engine: Engine) -> None:
        """Add the epoch's row and write both files anew."""
        if self.trainer is None:
            raise RuntimeError("IoUCurve: call set_trainer before the training starts")
        epoch, metrics = self.trainer.state.epoch, engine.state.metrics
        loss = sum(self._losses) / len(self._losses) if self._losses else math.nan
        self.rows.append(
            {
                "epoch": epoch,
                "train_loss": mean_over_processes(loss),
                "train_iou": self.trainer.state.metrics.get(self.metric, math.nan),
                "validation_iou": metrics[self.metric],
                **{f"validation_{name}": metrics.get(name, math.nan) for name in OBJECT_METRICS},
            }
        )
        if epoch > 0:
            self._write()

    def write_start(self) -> None:
        """Write the row of the start, which waits until the training's first step is done."""
        if self.rows:
            self._write()

    def _write(self) -> None:
        if not is_first_process():
            return
        self.output_dir.mkdir(parents=True, exist_ok=True)
        best = self.best_model.best if self.best_model else None
        kept = None if best is None else int(best["epoch"])
        rows = [{**row, KEPT: math.nan if kept is None else row["epoch"] == kept} for row in self.rows]
        write_training_curve(rows, self.output_dir / CSV_FILE)
        draw_iou_curve(rows, self.output_dir / PICTURE_FILE, title=self.title, kept_epoch=kept)

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far."""
        return {"rows": [{name: float(value) for name, value in row.items()} for row in self.rows]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after the rows of the training that is resumed."""
        self.rows = list(state["rows"])
