"""`medseg pack`: pack a training for a machine without network."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medseg_ext.cli.workflow_command import add_trust_option
from medseg_ext.packing import HAS


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "pack",
        help="pack a bundle, its data set and all packages into a folder, to train where there is no network",
        description="Pack a bundle, its data set and the packages that training imports into a folder of at most 60 MB "
        "for a Linux machine that has Python, PyTorch, torchvision and Transformers. There, ./train.sh trains.",
    )
    parser.add_argument("bundle", metavar="BUNDLE", help="name or folder of a bundle")
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="data set folder (default: data/<data set of the bundle>)"
    )
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="folder to make (default: out/pack/<bundle>)")
    parser.add_argument("--python", default="3.12", metavar="VERSION", help="the machine's (default: %(default)s)")
    parser.add_argument(
        "--has", nargs="+", default=HAS, metavar="PACKAGE", help=f"what the machine has (default: {' '.join(HAS)})"
    )
    parser.add_argument("--image-quality", type=int, metavar="1-100", help="images as JPEG (default: without loss)")
    parser.add_argument("--without-weights", action="store_true", help="leave models/model.pt out")
    add_trust_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.bundle.find import find_bundle
    from medseg_ext.packing.pack import PackingOptions, pack

    bundle = find_bundle(options.bundle)
    pack(
        PackingOptions(
            bundle=bundle,
            data=options.data or Path("data") / bundle.name.partition("_")[0],
            output=options.output or Path("out", "pack", bundle.name),
            python=options.python,
            has=options.has,
            image_quality=options.image_quality,
            with_weights=not options.without_weights,
        )
    )
    return 0
