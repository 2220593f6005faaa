"""`medseg ship`: put what a training gave into a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medseg_ext.cli.workflow_command import add_trust_option


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "ship",
        help="put a training's best weights, in half precision, and its curve into a bundle",
        description="Put a training's best weights, in half precision, and its curve into a bundle, in place of those "
        "that it has. Copy the bundle first to keep them.",
    )
    parser.add_argument(
        "weights", type=Path, help="model.pt of a training's output_dir; iou_curve.csv and .png beside it go along"
    )
    parser.add_argument("bundle", type=Path, help="folder of the bundle")
    add_trust_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.bundle.ship import ship_weights

    shipped = ship_weights(options.weights, options.bundle)
    for path in shipped.written:
        print(path)
    for path in shipped.removed:
        print(
            f"{path}: removed, as it is that of other weights and none lies beside {options.weights}; "
            "adapt docs/README.md"
        )
    return 0
