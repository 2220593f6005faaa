"""Prepare the nuclei of the Data Science Bowl 2018: `medseg prepare --layout dsb2018`."""

import sys

from medseg_ext.cli.prepare import main

if __name__ == "__main__":
    sys.exit(main("dsb2018"))
