"""Say which folder is that of an evaluation, and which that of a training."""

from __future__ import annotations

from pathlib import Path

from medseg_ext.errors import DataError

RUN_FILE, STATISTICS_FILE = "run.json", "statistics.npz"
CURVE_FILES = CSV_FILE, PICTURE_FILE = "iou_curve.csv", "iou_curve.png"  # of a training
MODEL_FILE, CHECKPOINT_FILE = "model.pt", "checkpoint.pt"  # beside them
AUTO = "auto"  # resume where there is a checkpoint, else begin
EVALUATE_AGAIN = "run the bundle's `evaluate` again with this output_dir"


def refuse_no_evaluation(folder: Path) -> None:
    """Stop at a folder that no evaluation has written, before anything is loaded.

    Raises:
        DataError: there is no such folder, or it lacks a file; names it and what to do.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give the output_dir of an evaluation")
    for name in (RUN_FILE, STATISTICS_FILE):
        if not (folder / name).is_file():
            raise DataError(f"{folder} has no {name}, it is not the output_dir of an evaluation: {EVALUATE_AGAIN}")


def refuse_earlier_training(folder: Path, *, resume: bool | str = False, overwrite: bool = False) -> None:
    """Stop before a new training replaces what an earlier one has left, which may have taken days.

    Args:
        folder: that of the training's files; it need not exist.
        resume: the training goes on with what is there; "auto" if there is a checkpoint.
        overwrite: what is there is to be replaced.

    Raises:
        DataError: the folder holds weights, a checkpoint or a curve; or both options are given.
    """
    if resume and overwrite:
        raise DataError(
            f"{folder}: --resume {resume} goes on with the training that is there, --overwrite True replaces it: "
            "give one of them"
        )
    there = [name for name in (MODEL_FILE, CHECKPOINT_FILE, *CURVE_FILES) if (folder / name).exists()]
    if not there or resume is True or overwrite or (resume == AUTO and CHECKPOINT_FILE in there):
        return
    remedy = "which a new one would replace: give --resume True to go on with it,"
    if resume == AUTO:
        remedy = f"but no {CHECKPOINT_FILE} to go on from: give"
    raise DataError(
        f"{folder} holds {', '.join(there)} of an earlier training, {remedy} another folder to train anew, or "
        "--overwrite True to replace it"
    )
