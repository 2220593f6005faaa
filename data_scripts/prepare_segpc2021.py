"""Prepare the plasma cells of SegPC-2021 for training and evaluation."""

import sys

from medseg_ext.data.command_line import preparation_parser, run_preparation
from medseg_ext.data.segpc2021 import prepare_segpc2021


def main() -> int:
    """Parse the command line and prepare."""
    parser = preparation_parser(
        "Prepare the plasma cells of SegPC-2021 for training and evaluation.",
        "folder or ZIP with train/x and train/y; images below validation become the section testing",
        "a further folder or ZIP, such as the official validation set; becomes the section testing",
    )
    return run_preparation(prepare_segpc2021, parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
