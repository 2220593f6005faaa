"""`medseg check`: look through a data set for what would make results wrong."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "check",
        help="look through a data set: images in two splits, labels that look wrong, groups that are missing",
        description="Look through a data set folder: images that stand in two splits, as they are, turned, or nearly; "
        "labels that look wrong; groups that are missing or torn. Ends with status 1 if anything is grave. Two images "
        "that are cut from one picture and overlap in part are not found.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data set folder, as `medseg prepare` writes it")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="folder for check.html, with pictures, and check.csv, with all cases",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: all cores)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.datasets.check import check_data_set
    from medseg_ext.datasets.findings import findings_table

    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers must be 1 or more, got {options.workers}")
    if options.output is not None and options.output.exists() and not options.output.is_dir():
        raise ValueError(f"--output {options.output} is a file: give a folder")
    found = check_data_set(options.data, workers=options.workers)
    print(findings_table(found))
    if options.output is not None:
        from medseg_ext.pages.data_check_page import write_check

        print(write_check(found, options.data, options.output))
    return 1 if found.is_grave else 0
