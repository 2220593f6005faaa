"""`medseg prepare`: bring raw images and masks into a data set folder."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg_ext.cli.interruption import Interruption
from medseg_ext.datasets.layouts import LAYOUTS
from medseg_ext.errors import DataError


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "prepare",
        help="bring raw images and masks into a data set folder",
        description="Bring raw images and masks into a data set folder, which trainings and evaluations take. Two "
        "layouts are known: that of the Data Science Bowl 2018, <id>/images/<id>.png with <id>/masks/<any>.png, one "
        "nucleus each; and that of SegPC-2021, x/<id>.bmp with y/<id>_<n>.bmp, one cell each.",
    )
    _add_options(parser, "folder or ZIP in one of the layouts", "a further one; becomes the section testing")
    parser.add_argument("--layout", choices=LAYOUTS, help="which layout the source has (default: found by itself)")
    _add_solution(parser)
    parser.set_defaults(run=_run, advice=lambda options, words: _advice(["medseg", *words]))


def main(name: str) -> int:
    """Run it for one layout as a script of its own, `data_scripts/prepare_<name>.py`; returns the exit status."""
    layout = LAYOUTS[name]
    parser = argparse.ArgumentParser(description=f"Prepare {layout.what} for training and evaluation.")
    _add_options(parser, layout.source, layout.test)
    if "test_solution" in layout.options:
        _add_solution(parser)
    options = parser.parse_args()
    options.layout = name

    def run() -> int:
        try:
            return _run(options)
        except (DataError, OSError, MemoryError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    interruption = Interruption()
    interruption.advice = lambda: _advice(sys.argv)
    return interruption.guard(run)


def _advice(words: Sequence[str]) -> str:
    return f"; to go on: {shlex.join(words)}"


def _add_options(parser: argparse.ArgumentParser, source_help: str, test_help: str) -> None:
    parser.add_argument("source", type=Path, help=source_help)
    parser.add_argument("target", type=Path, help="data set folder to write; an interrupted run goes on there")
    parser.add_argument("--test", type=Path, metavar="SOURCE", help=test_help)
    parser.add_argument("--groups", type=Path, metavar="CSV", help="columns image_id, group: a group is never split")
    parser.add_argument("--seed", type=int, default=0, help="another number is another split (default: 0)")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAINING", "VALIDATION", "TESTING"),
        help="shares that sum to 1 (default: 0.8 0.1 0.1); the official test set, if given, is all of testing",
    )
    parser.add_argument(
        "--splits-from", type=Path, metavar="DATASET_JSON", help="take over the split of another prepared data set"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: all cores)")


def _add_solution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--test-solution", type=Path, metavar="CSV", help="stage1_solution.csv, the masks of stage1_test"
    )


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.datasets.layouts import prepare, recognise_layout
    from medseg_ext.datasets.preparation_table import summary

    layout = options.layout or recognise_layout(options.source)
    names = ["test", "groups", "seed", "fractions", "splits_from", "workers", *LAYOUTS[layout].options]
    if getattr(options, "test_solution", None) and "test_solution" not in names:
        raise DataError(f"--test-solution is for the layout dsb2018; {options.source} has that of {layout}")
    dataset = prepare(layout, options.source, options.target, **{name: getattr(options, name) for name in names})
    print(f"{summary(dataset)}\nwritten to {options.target}")
    return 0
