"""`medseg train`: train a bundle's network on a data set folder."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medseg_ext.cli.interruption import is_first_process
from medseg_ext.cli.workflow_command import (
    add_data_options,
    add_workflow_command,
    plain_settings,
    run_command,
    say_files,
)

if TYPE_CHECKING:
    from medseg_ext.bundle.fine_tuning import Plan


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = add_workflow_command(
        commands,
        "train",
        "train",
        "--bundle NAME --data FOLDER --output FOLDER [--from shipped|scratch] [--verbose]",
        help="train a bundle's network on a data set folder",
        description="Train a bundle's network on a data set folder, whose classes it learns. It starts from the "
        "bundle's shipped weights, with settings that suit the number of images, and keeps them where no epoch finds "
        "objects better; --from scratch starts anew, with the config's settings, --ckpt_path FILE from other weights. "
        "--resume True goes on after an interruption, and --resume auto if there was one. A folder that holds an "
        "earlier training is refused, unless --overwrite True is given.",
    )
    parser.add_argument(
        "--from", dest="start", choices=("shipped", "scratch"), help="what it starts from (default: shipped)"
    )
    add_data_options(parser, output_help="for weights, checkpoint, curve and TensorBoard")
    parser.add_argument("--verbose", action="store_true", help="show all of the log of MONAI and Ignite")
    start = time.time()
    parser.set_defaults(run=_run, advice=lambda options, words: how_to_go_on(options, words, since=start))


def _run(options: argparse.Namespace) -> int:
    if not importlib.util.find_spec("tensorboard"):
        raise ValueError("a training needs TensorBoard, which is not installed: pip install 'medseg-ext[train]'")

    def plan(bundle: Path, given: Mapping[str, Any]) -> Plan:
        from medseg_ext.bundle.fine_tuning import plan_training
        from medseg_ext.runs.run_files import refuse_earlier_training

        if "LOCAL_RANK" not in os.environ:  # what is there may be of a launch of torchrun, which the workflow knows
            settings = plain_settings(bundle, "train", given)
            asked = {key: settings.get(key, False) for key in ("resume", "overwrite")}
            refuse_earlier_training(options.output, **asked)
        return plan_training(bundle, given, data=options.data, output=options.output, start=options.start)

    trained = run_command(
        options, "train", data=options.data, output=options.output, sections=["training", "validation"], complete=plan
    )
    say_files([("weights", options.output / "model.pt"), ("curve", options.output / "iou_curve.png")])
    if is_first_process():
        print(f"{'result':<9}{trained.parser.get_parsed_content('best_model').result}")
    return 0


def how_to_go_on(options: argparse.Namespace, words: Sequence[str], *, since: float) -> str:
    """Say how to go on with a training that began at a time; it may have replaced another one, but not yet."""
    checkpoint = options.output / "checkpoint.pt"
    if not _goes_on(words):
        if not checkpoint.is_file() or checkpoint.stat().st_mtime < since:
            return " before its first step was done; to begin anew: " + shlex.join(["medseg", *words])
        words = [*_without("--overwrite", _without("--resume", words)), "--resume", "True"]
    return "; to go on: " + shlex.join(["medseg", *words])


def _goes_on(words: Sequence[str]) -> bool:
    """Say whether a training is told to go on with another one; of several values the last counts."""
    values = [value for key, value in pairwise([*words, ""]) if key == "--resume"]
    values += [word.partition("=")[2] for word in words if word.startswith("--resume=")]
    return bool(values) and values[-1].lower() != "false"


def _without(key: str, words: Sequence[str]) -> list[str]:
    """Leave out a key, and its value."""
    remaining, kept = list(words), []
    while remaining:
        word = remaining.pop(0)
        if word == key and remaining:
            remaining.pop(0)
        elif not word.startswith(f"{key}="):
            kept.append(word)
    return kept
