"""`medseg inspect`: list the code that a bundle names, and run none of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medseg_ext.cli.quick_imports import quick_imports


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "inspect",
        help="list the code that a bundle names, without running it",
        description="List every callable, expression, import and file of code that a bundle, or a TorchScript file "
        "(.ts), brings, with where it stands and whether medseg runs it unasked. Nothing of it is run. The exit status "
        "is 0 if medseg runs the bundle, 1 if it does so with --trust only.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="name or folder of a bundle, or a .ts file")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.bundle.find import find_bundle

    place = Path(options.bundle)
    if not place.is_file() and not (place / "configs").is_dir():
        place = find_bundle(options.bundle)
    with quick_imports():  # after all that needs no second
        from medseg_ext.bundle.inspection import inspect_bundle, inspect_torchscript
        from medseg_ext.bundle.inspection_table import inspection_table

    found = inspect_torchscript(place) if place.is_file() else inspect_bundle(place)
    print("\n".join(inspection_table(found, place)))
    return int(any(code.fault for code in found))
