"""Run the command: `python -m medseg_ext.cli`."""

import sys

from medseg_ext.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
