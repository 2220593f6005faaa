"""`medseg verify`: check bundles, or compare the forms of exported ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg_ext.cli.workflow_command import add_trust_option

FORMS = ("torchscript", "onnx", "deploy")


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "verify",
        help="check bundles as MONAI's model zoo does, or compare the forms of exported ones on images",
        description="Check bundle folders as MONAI's model zoo does before it accepts one. With --images, compare "
        "instead what the forms of exported bundles give for the test images of a data set, as a Markdown table; each "
        "has the bundle's own preprocessing, inferer and decoder, on the CPU in float32.",
    )
    parser.add_argument(
        "bundles", nargs="*", metavar="BUNDLE", help="name or folder of a bundle; by default all that are found"
    )
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="prepared data set folder to compare forms on")
    parser.add_argument("--count", type=int, default=10, help="how many of its test images (default: %(default)s)")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS, help="which forms (default: all)")
    add_trust_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.bundle.find import find_bundle, find_bundles

    bundles = [Path(name) if Path(name).is_dir() else find_bundle(name) for name in options.bundles]
    if options.images is None:
        return _check(bundles or list(find_bundles().values()))
    if not bundles:
        raise ValueError(
            "--images compares the forms of exported bundles: name their folders, such as exports/dsb2018_unet"
        )
    from medseg_ext.bundle.export_differences import HEAD, as_row, compare_forms
    from medseg_ext.datasets.data_set_folder import load_datalist

    items = load_datalist(options.images, "testing")[: options.count]
    print(HEAD)
    for bundle in bundles:
        for form, found in compare_forms(bundle, [Path(item["image"]) for item in items], options.forms):
            print(as_row(bundle.resolve().name, form, found), flush=True)
    return 0


def _check(bundles: Sequence[Path]) -> int:
    from medseg_ext.bundle.zoo_checks import verify_bundle

    n_faults = 0
    for bundle in bundles:
        for check, fault in verify_bundle(bundle):
            print(f"{bundle.name}: {check}: {fault or 'passed'}", flush=True)
            n_faults += bool(fault)
    if not bundles:
        print("error: there is no bundle: name the folder of one", file=sys.stderr)
    return int(n_faults > 0 or not bundles)
