"""`medseg evaluate`: score weights on the test images of a data set folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg_ext.cli.workflow_command import add_data_options, add_workflow_command, run_command, say_files

if TYPE_CHECKING:
    from medseg_ext.bundle.fine_tuning import Plan


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = add_workflow_command(
        commands,
        "evaluate",
        "evaluate",
        "--bundle NAME --data FOLDER --output FOLDER",
        help="score weights on the test images of a data set folder",
        description="Score weights on the test images of a data set folder, as `python -m monai.bundle run evaluate` "
        "does. --ckpt_path runs/nuclei/model.pt takes the weights of a training; by default they are the bundle's.",
    )
    add_data_options(parser, output_help="for report.html, metrics and pictures")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    def plan(bundle: Path, given: Mapping[str, Any]) -> Plan:
        from medseg_ext.bundle.trained_settings import plan_for_weights

        return plan_for_weights(bundle, given, "evaluate")

    run_command(options, "evaluate", data=options.data, output=options.output, sections=["split"], complete=plan)
    say_files([("report", options.output / "report.html"), ("metrics", options.output / "metrics.json")])
    return 0
