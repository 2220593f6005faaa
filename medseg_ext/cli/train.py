"""`medseg train`: train a bundle's network on a data set folder."""

from __future__ import annotations

import argparse
from typing import Any

from medseg_ext.cli.workflow_command import add_data_options, add_workflow_command, run_command, say_files


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = add_workflow_command(
        commands,
        "train",
        "train",
        "--bundle NAME --data FOLDER --output FOLDER",
        help="train a bundle's network on a data set folder",
        description="Train a bundle's network on a data set folder, as `python -m monai.bundle run training` does. "
        "--ckpt_path bundles/dsb2018_unet/models/model.pt starts from the shipped weights; --resume True goes on after "
        "an interruption. A folder that holds an earlier training is refused, unless --overwrite True is given.",
    )
    add_data_options(parser, output_help="for weights, checkpoint, curve and TensorBoard")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    run_command(options, "train", data=options.data, output=options.output)
    say_files([("weights", options.output / "model.pt"), ("curve", options.output / "iou_curve.png")])
    return 0
