"""`medseg bundles`: list the bundles that are found by their names."""

from __future__ import annotations

import argparse
from typing import Any


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "bundles",
        help="list the bundles that are found by their names",
        description="List the bundles that --bundle NAME finds, where they are, and what each finds in images.",
    )
    parser.set_defaults(run=_run)


def _run(_: argparse.Namespace) -> int:
    from medseg_ext.bundle.find import describe_bundles, find_bundles, refuse_none

    found = find_bundles()
    refuse_none(found)
    print("\n".join(describe_bundles(found)))
    return 0
