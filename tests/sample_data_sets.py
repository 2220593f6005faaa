"""The generated sample, prepared by the scripts that users run."""

import subprocess
import sys
from pathlib import Path

from bundle_settings import ROOT


def prepare_sample(folder: Path) -> dict[str, Path]:
    """Draw ten images of each data set below a folder, always the same ones, and prepare them: 6 + 2 + 2.

    Returns:
        Data set folders, by data set name.
    """
    raw = folder / "raw"

    def run(*words: str | Path) -> None:
        subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, check=True, capture_output=True, text=True)

    run("data_scripts/make_sample.py", raw, "--images-per-set", "10")
    run(
        "data_scripts/prepare_dsb2018.py",
        raw / "dsb2018" / "stage1_train",
        folder / "dsb2018",
        "--groups",
        raw / "dsb2018" / "groups.csv",
        "--fractions", "0.6", "0.2", "0.2",
    )  # fmt: skip
    run(
        "data_scripts/prepare_segpc2021.py",
        raw / "segpc2021",
        folder / "segpc2021",
        "--fractions", "0.6", "0.2", "0.2",
    )  # fmt: skip
    return sets_of_sample(folder)


def sets_of_sample(folder: Path) -> dict[str, Path]:
    """Give the data set folders below the folder of a sample, by data set name."""
    return {name: folder / name for name in ("dsb2018", "segpc2021")}
