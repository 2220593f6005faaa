"""Draw two small synthetic data sets in the raw layouts of DSB2018 and SegPC-2021: `medseg sample`."""

import sys

from medseg_ext.cli.sample import main

if __name__ == "__main__":
    sys.exit(main())
