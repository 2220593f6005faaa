"""Draw the validation curves of several trainings in one figure."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure  # not pyplot: no global state, no display

from medseg_ext.data.errors import DataError
from medseg_ext.report.compare_run import CURVE_FILE, EVALUATE_AGAIN

Curve = Sequence[tuple[int, float]]  # epoch and validation IoU
DASHES = ("-", "--", "-.", ":")


def read_curve(folder: Path) -> Curve | None:
    """Read the curve that a run folder has of its training.

    Returns:
        Epochs and validation IoU; None when the folder has no curve, or an empty one.

    Raises:
        DataError: the file is broken.
    """
    path = folder / CURVE_FILE
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(int(float(row["epoch"])), float(row["validation_iou"])) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no curve of a training ({error}): {EVALUATE_AGAIN}") from error
    return [(epoch, iou) for epoch, iou in rows if not math.isnan(iou)] or None


def draw_curves(panels: Mapping[str, Mapping[str, Curve]], path: Path) -> None:
    """Draw validation IoU over epochs, one panel a data set, one line a run, its best epoch marked.

    Args:
        panels: of each data set, which is the panel's heading, the curve of each run by name; at least one of each.
        path: the PNG to write; its folder is made when needed.
    """
    width_in = 8 if len(panels) == 1 else 6 * len(panels)
    figure = Figure(figsize=(width_in, 4.2), dpi=120, layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        # runs of one training have the same curve: dashes let the one below show through
        for (name, curve), dashes in zip(curves.items(), itertools.cycle(DASHES), strict=False):
            best_epoch, best_iou = max(curve, key=lambda point: point[1])
            label = f"{name}: {best_iou:.3f} at epoch {best_epoch}"
            (line,) = axes.plot(*zip(*curve, strict=True), dashes, label=label)
            axes.plot(best_epoch, best_iou, "o", color=line.get_color())
        axes.set(xlabel="epoch", ylabel="foreground IoU, validation", title=title)
        axes.set_ylim(top=min(1.0, axes.get_ylim()[1]))
        axes.grid(color="0.92")
        axes.legend(frameon=False, title="best epoch", loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
