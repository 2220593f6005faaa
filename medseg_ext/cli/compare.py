"""`medseg compare`: set evaluations beside each other."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medseg_ext.cli.quick_imports import quick_imports


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "compare",
        help="set evaluations beside each other: tables, curves, pictures",
        description="Set evaluations beside each other: comparison.html with tables, curves and pictures; tables as "
        "Markdown and CSV, too. Runs on one data set must be on the same images.",
    )
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="output_dir of an evaluation")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="folder to write (default: comparison)")
    parser.add_argument(
        "--names",
        nargs="+",
        help="name of each run; those of one name, on different data sets, share a row (default: the model's name, "
        "with that of a folder where other weights are called alike)",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.runs.run_files import refuse_no_evaluation

    for folder in options.runs:
        refuse_no_evaluation(folder)
    with quick_imports():  # after all that needs no second
        from medseg_ext.pages.comparison_page import write_comparison
        from medseg_ext.runs.run_comparison import compare_run_folders

    print(write_comparison(compare_run_folders(options.runs, options.names), options.output))
    return 0
