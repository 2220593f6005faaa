"""`medseg ship`: put what a training gave into a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medseg_ext.cli.quick_imports import quick_imports
from medseg_ext.cli.workflow_command import add_trust_option


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "ship",
        help="put a training's best weights, in half precision, and what they come from into a bundle",
        description="Put a training's best weights, in half precision, into a bundle, in place of those that it has, "
        "with what they come from: its model card, licence of the data and metadata are written anew, and figures of "
        "other weights are removed. --from puts them into a copy, and leaves the bundle as it is.",
    )
    parser.add_argument(
        "weights", type=Path, help="model.pt of a training's output_dir; the files beside it tell what it comes from"
    )
    parser.add_argument("bundle", type=Path, help="folder of the bundle; with --from, of the copy")
    parser.add_argument(
        "--from",
        dest="source",
        metavar="NAME",
        help="bundle to copy, its name or folder: that of the training; the copy must not exist",
    )
    parser.add_argument(
        "--authors", metavar="NAMES", help='whose the weights are, for the metadata, such as "A. Smith"'
    )
    add_trust_option(parser)
    parser.add_argument(
        "--evaluation", type=Path, metavar="FOLDER", help="output of medseg evaluate of these weights, for the card"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.bundle.find import find_bundle
    from medseg_ext.bundle.ship_target import refuse_shipping

    source = find_bundle(options.source) if options.source else None
    refuse_shipping(options.weights, options.bundle, source=source)
    with quick_imports():  # after all that needs no second
        from medseg_ext.bundle.ship import ship_into_copy, ship_weights

    told = {"evaluation": options.evaluation, "authors": options.authors}
    if source:
        shipped = ship_into_copy(options.weights, source, options.bundle, **told)
    else:
        shipped = ship_weights(options.weights, options.bundle, **told)
    for path in shipped.written:
        print(path)
    for path in shipped.removed:
        print(f"{path}: removed, as it is that of other weights")
    return 0
