"""Say which folder is that of an evaluation."""

from __future__ import annotations

from pathlib import Path

from medseg_ext.errors import DataError

RUN_FILE, STATISTICS_FILE = "run.json", "statistics.npz"
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
