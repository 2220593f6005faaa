"""Keep the curve of a training in a file."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from medseg_ext.errors import DataError
from medseg_ext.files import read_regular, write_atomically
from medseg_ext.runs.run_files import EVALUATE_AGAIN
from medseg_ext.runs.run_folder import KEPT_CURVE_FILE

OBJECT_METRICS = ("pq", "ap_50")
KEPT = "kept"  # 1 for the epoch whose weights are kept so far, else 0
VALIDATION_COLUMNS = "validation_iou", *(f"validation_{name}" for name in OBJECT_METRICS)
COLUMNS = ("epoch", "train_loss", "train_iou", *VALIDATION_COLUMNS, KEPT)
Curve = Sequence[tuple[int, float]]  # epoch and validation IoU


def write_training_curve(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write one row an epoch, with the columns `COLUMNS`, as CSV."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{row[name]:.6g}" for name in COLUMNS} for row in rows)
    write_atomically(path, file.getvalue())


def read_curve(folder: Path) -> Curve | None:
    """Read the curve that a run folder has of its training.

    Returns:
        Epochs and validation IoU; None when the folder has no curve, or an empty one.

    Raises:
        DataError: the file is broken.
    """
    path = folder / KEPT_CURVE_FILE
    if not path.is_file():
        return None
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [(int(float(row["epoch"])), float(row["validation_iou"])) for row in csv.DictReader(file)]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} is no curve of a training ({error}): {EVALUATE_AGAIN}") from error
    return [(epoch, iou) for epoch, iou in rows if not math.isnan(iou)] or None


def how_it_ended(curve: Path) -> str:
    """Say in a sentence which weights a training kept; empty if its curve does not tell.

    Args:
        curve: `iou_curve.csv`.
    """
    try:
        rows = list(csv.DictReader(read_regular(curve).decode().splitlines()))
        epochs = [int(row["epoch"]) for row in rows]
        kept = [epoch for epoch, row in zip(epochs, rows, strict=True) if row.get(KEPT) == "1"]
    except (KeyError, TypeError, ValueError):
        return ""
    if not kept:
        return ""
    if kept[0] == 0:
        return (
            "The weights that the training started from were the best on its validation images, so they were kept: its "
            f"{max(epochs)} epochs gave none that are better."
        )
    return f"The training kept the weights of epoch {kept[0]} of {max(epochs)}, the best on its validation images."


def find_training_file(name: str, training_dir: Path, bundle: Path | None) -> Path | None:
    """Find one of `medseg_ext.runs.run_files.CURVE_FILES` of the training that weights come from.

    Args:
        name: the file.
        training_dir: folder of the weights.
        bundle: folder of the bundle; where the weights are in its `models`, the file may be in its `docs`.

    Returns:
        The file, or None where there is none.
    """
    folders = [training_dir]
    if bundle and training_dir.resolve() == (bundle / "models").resolve():
        folders.append(bundle / "docs")
    return next((folder / name for folder in folders if (folder / name).is_file()), None)
