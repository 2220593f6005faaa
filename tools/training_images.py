"""Measure the training images of a data set, and put what is known of them into bundles that were trained on it.

A training and `medseg ship` do so by themselves.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from medseg_ext.runs.training_images import write_training_images


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="data set folder")
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE", help="folder of a bundle")
    options = parser.parse_args()
    first = write_training_images(options.data, options.bundles[0] / "models", workers=None)
    for bundle in options.bundles[1:]:
        (bundle / "models" / first.name).write_bytes(first.read_bytes())


if __name__ == "__main__":
    main()
