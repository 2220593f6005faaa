"""`medseg demo`: the whole way on synthetic images, from a sample to a trained network and its report."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

BUNDLE = "dsb2018_unet"
MARKER = ".medseg-demo"  # a folder with it may be deleted and made anew
SECONDS_TO_END = 2


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "demo",
        help="go the whole way on synthetic images: sample, preparation, training, evaluation, objects",
        description="Go the whole way on synthetic images, by the commands that people type: sample, preparation, "
        "training, evaluation, objects. The training is a fine-tuning of the shipped weights: minutes without a GPU.",
    )
    parser.add_argument(
        "--target", type=Path, default=Path("demo"), help="folder (default: demo); an earlier demo there is replaced"
    )
    parser.add_argument("--epochs", type=int, help="length of the training (default: by the number of images)")
    parser.set_defaults(run=_run)


def steps(target: Path, *, epochs: int | None = None) -> list[tuple[str, str]]:
    """List the demo's steps: what each does, and the very words that a user would type after `medseg`.

    Args:
        target: folder for everything that the demo makes.
        epochs: length of the training; None leaves it to `medseg train`.
    """
    to = shlex.quote(f"./{target}" if str(target).startswith("-") else str(target))  # no option of the commands
    return [
        ("draw a synthetic sample in the raw layouts", f"sample {to}/raw"),
        (
            "prepare it",
            f"prepare {to}/raw/dsb2018/stage1_train {to}/dsb2018 --groups {to}/raw/dsb2018/groups.csv"
            " --name 'Drawn images'",
        ),
        (
            "fine-tune the shipped U-Net",
            f"train --bundle {BUNDLE} --data {to}/dsb2018 --output {to}/run"
            + (f" --max_epochs {epochs}" if epochs else ""),
        ),
        (
            "evaluate it on images that it has not seen",
            f"evaluate --bundle {BUNDLE} --data {to}/dsb2018 --output {to}/evaluation --ckpt_path {to}/run/model.pt",
        ),
        (
            "segment a folder of images",
            f"segment {to}/dsb2018/images --bundle {BUNDLE} --output {to}/objects --ckpt_path {to}/run/model.pt",
        ),
    ]


def _run_step(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command; returns its exit status. When this process is to end, the command comes to its own end first."""
    with subprocess.Popen(command, env=environment) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            try:
                process.wait(SECONDS_TO_END)  # a terminal's Ctrl-C is for both
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()
            raise


def _run(options: argparse.Namespace) -> int:
    """Run the steps one by one; returns the exit status of the first that fails, else 0."""
    if options.target.exists():
        if not (options.target / MARKER).is_file():
            print(f"error: {options.target} was not made by the demo; give another --target", file=sys.stderr)
            return 2
        shutil.rmtree(options.target)
    options.target.mkdir(parents=True)
    (options.target / MARKER).write_text("Made by `medseg demo`, which replaces this folder.\n")
    start = time.monotonic()
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    all_steps = steps(options.target, epochs=options.epochs)
    for number, (what, words) in enumerate(all_steps, start=1):
        print(f"\n[{number}/{len(all_steps)}] {what}\n$ medseg {words}", flush=True)
        command = [sys.executable, "-m", "medseg_ext.cli", *shlex.split(words)]
        status = _run_step(command, environment)
        if status:
            return status
    print(f"\nDone in {time.monotonic() - start:.0f} s. Objects of every image: {options.target / 'objects'}")
    print((options.target / "evaluation" / "report.html").resolve())
    return 0
