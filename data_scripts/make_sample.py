#!/usr/bin/env python3
"""Draw two small synthetic data sets in the raw layouts of DSB2018 and SegPC-2021.

They let demo and tests go through the very scripts that prepare the real data.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from medseg_ext.data.sample import make_sample


def main() -> int:
    """Parse the command line, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path, help="folder to make: new or empty")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files (default: 0)")
    parser.add_argument("--images-per-set", type=int, metavar="N", help="default: 24 of DSB2018, 16 of SegPC-2021")
    arguments = parser.parse_args()
    number = arguments.images_per_set
    counts = {} if number is None else {"dsb2018_images": number, "segpc2021_images": number}
    try:
        make_sample(arguments.target, seed=arguments.seed, **counts)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(arguments.target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
