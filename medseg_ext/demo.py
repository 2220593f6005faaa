"""Run the whole way on synthetic images: sample, preparation, training, evaluation, inference."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

BUNDLE = Path("bundles/dsb2018_unet")
MARKER = ".medseg-demo"  # a folder with it may be deleted and made anew


def commands(target: Path, *, epochs: int) -> list[tuple[str, str]]:
    """List the demo's steps: what each does, and the very command that a user would type.

    Args:
        target: folder for everything that the demo makes.
        epochs: length of the training.
    """
    to, configs, bundle = shlex.quote(str(target)), BUNDLE / "configs", "-m monai.bundle run"
    return [
        ("draw a synthetic sample in the raw layouts", f"data_scripts/make_sample.py {to}/raw"),
        (
            "prepare it",
            f"data_scripts/prepare_dsb2018.py {to}/raw/dsb2018/stage1_train {to}/dsb2018"
            f" --groups {to}/raw/dsb2018/groups.csv",
        ),
        (
            "train a U-Net from scratch",
            f"{bundle} training --config_file {configs}/train.json --dataset_dir {to}/dsb2018"
            f" --output_dir {to}/run --max_epochs {epochs} --val_interval 10 --early_stop_patience {epochs}",
        ),
        (
            "evaluate it on images that it has not seen",
            f"{bundle} evaluate --config_file {configs}/evaluate.json --dataset_dir {to}/dsb2018"
            f" --ckpt_path {to}/run/model.pt --output_dir {to}/evaluation",
        ),
        (
            "segment a folder of images",
            f"{bundle} inference --config_file {configs}/inference.json --dataset_dir {to}/dsb2018/images"
            f" --ckpt_path {to}/run/model.pt --output_dir {to}/objects",
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps one by one; returns the exit status of the first that fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m medseg_ext.demo", description=__doc__)
    parser.add_argument("--target", type=Path, default=Path("demo"), help="folder; an earlier demo there is replaced")
    parser.add_argument("--epochs", type=int, default=100, help="length of the training")
    options = parser.parse_args(arguments)
    if not BUNDLE.is_dir():
        print(f"error: {BUNDLE} is not here; run the demo in the project's folder", file=sys.stderr)
        return 2
    if options.target.exists():
        if not (options.target / MARKER).is_file():
            print(f"error: {options.target} was not made by the demo; give another --target", file=sys.stderr)
            return 2
        shutil.rmtree(options.target)
    options.target.mkdir(parents=True)
    (options.target / MARKER).write_text("Made by `make demo`, which replaces this folder.\n")
    start = time.monotonic()
    steps = commands(options.target, epochs=options.epochs)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    for number, (what, command) in enumerate(steps, start=1):
        print(f"\n[{number}/{len(steps)}] {what}\n$ python {command}", flush=True)
        status = subprocess.run([sys.executable, *shlex.split(command)], env=environment).returncode
        if status:
            return status
    print(f"\nDone in {time.monotonic() - start:.0f} s. Objects of every image: {options.target / 'objects'}")
    print((options.target / "evaluation" / "report.html").resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
