"""Prepare the nuclei of the Data Science Bowl 2018 for training and evaluation."""

import sys
from pathlib import Path

from medseg_ext.data.command_line import preparation_parser, run_preparation
from medseg_ext.data.dsb2018 import prepare_dsb2018


def main() -> int:
    """Parse the command line and prepare."""
    parser = preparation_parser(
        "Prepare the nuclei of the Data Science Bowl 2018 for training and evaluation.",
        "stage1_train as folder or ZIP; with --test-solution and without --test, stage1_test",
        "stage1_test as folder or ZIP; becomes the section testing",
    )
    parser.add_argument(
        "--test-solution", type=Path, metavar="CSV", help="stage1_solution.csv, the masks of stage1_test"
    )
    return run_preparation(prepare_dsb2018, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
