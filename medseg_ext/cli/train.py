"""`medseg train`: train a bundle's network on a data set folder."""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Sequence
from itertools import pairwise
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
        "an interruption, and --resume auto if there was one. A folder that holds an earlier training is refused, "
        "unless --overwrite True is given.",
    )
    add_data_options(parser, output_help="for weights, checkpoint, curve and TensorBoard")
    start = time.time()
    parser.set_defaults(run=_run, advice=lambda options, words: how_to_go_on(options, words, since=start))


def _run(options: argparse.Namespace) -> int:
    run_command(options, "train", data=options.data, output=options.output)
    say_files([("weights", options.output / "model.pt"), ("curve", options.output / "iou_curve.png")])
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
