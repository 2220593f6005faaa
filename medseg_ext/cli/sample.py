"""`medseg sample`: draw two small synthetic data sets, in the raw layouts of DSB2018 and SegPC-2021."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "sample", help="draw two small synthetic data sets, to try things on", description=DESCRIPTION
    )
    _add_options(parser)
    parser.set_defaults(run=_run)


DESCRIPTION = """\
Draw two small synthetic data sets in the raw layouts of DSB2018 and SegPC-2021. They let demo and tests go through the
very commands that prepare the real data.
"""


def main() -> int:
    """Run it as a script of its own, `data_scripts/make_sample.py`; returns the exit status."""
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    _add_options(parser)
    try:
        return _run(parser.parse_args())
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", type=Path, help="folder to make: new or empty")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same files (default: 0)")
    parser.add_argument("--images-per-set", type=int, metavar="N", help="default: 24 of DSB2018, 16 of SegPC-2021")


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.synthetic.make import make_sample

    number = options.images_per_set
    counts = {} if number is None else {"dsb2018_images": number, "segpc2021_images": number}
    make_sample(options.target, seed=options.seed, **counts)
    print(options.target)
    return 0
