"""`medseg card`: bring a model card up to date."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medseg_ext.cli.quick_imports import quick_imports


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "card",
        help="bring the figures and pictures of a bundle's model card up to date with an evaluation",
        description="Bring the figures and pictures between the marker lines of a bundle's model card up to date with "
        "an evaluation of its weights on the test images; the text around them is for you to adapt.",
    )
    parser.add_argument("bundle", type=Path, help="folder of the bundle; its docs/README.md has the marker lines")
    parser.add_argument("evaluation", type=Path, help="output_dir of an evaluation of its weights on the test images")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.runs.run_files import refuse_no_evaluation

    refuse_no_evaluation(options.evaluation)
    with quick_imports():  # after all that needs no second
        from medseg_ext.pages.model_card import write_card

    print("\n".join(write_card(options.bundle, options.evaluation).report()))
    return 0
