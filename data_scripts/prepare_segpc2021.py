"""Prepare the plasma cells of SegPC-2021: `medseg prepare --layout segpc2021`."""

import sys

from medseg_ext.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main("segpc2021"))
