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


def commands(target: Path, *, epochs: int) -> list[tuple[str, list[str]]]:
    """List the demo's steps, the very commands that a user would type.

    Args:
        target: folder for everything the demo makes.
        epochs: length of the training; a hundred takes about three minutes on two cores.
    """
    data, run = target / "dsb2018", target / "run"
    bundle = ["-m", "monai.bundle", "run"]
    config = {name: str(BUNDLE / "configs" / f"{name}.json") for name in ("train", "evaluate", "inference")}
    return [
        ("draw a synthetic sample in Kaggle's layout", ["data_scripts/make_sample.py", f"{target}/raw"]),
        (
            "prepare it",
            ["data_scripts/prepare_dsb2018.py", f"{target}/raw/dsb2018/stage1_train", str(data)]
            + ["--groups", f"{target}/raw/dsb2018/groups.csv"],
        ),
        (
            "train a U-Net from scratch",
            [*bundle, "training", "--config_file", config["train"], "--dataset_dir", str(data)]
            + ["--output_dir", str(run), "--max_epochs", str(epochs), "--val_interval", "10"],
        ),
        (
            "evaluate it on images that it has not seen",
            [*bundle, "evaluate", "--config_file", config["evaluate"], "--dataset_dir", str(data)]
            + ["--ckpt_path", f"{run}/model.pt", "--output_dir", f"{target}/evaluation"],
        ),
        (
            "segment a folder of images",
            [*bundle, "inference", "--config_file", config["inference"], "--dataset_dir", f"{data}/images"]
            + ["--ckpt_path", f"{run}/model.pt", "--output_dir", f"{target}/objects"],
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the steps one by one; returns the exit status of the first that fails, else 0."""
    parser = argparse.ArgumentParser(prog="python -m medseg_ext.demo", description=__doc__)
    parser.add_argument("--target", type=Path, default=Path("demo"), help="folder for everything (replaced)")
    parser.add_argument("--epochs", type=int, default=60, help="length of the training")
    options = parser.parse_args(arguments)
    if not BUNDLE.is_dir():
        print(f"error: {BUNDLE} is not here; run the demo in the project's folder", file=sys.stderr)
        return 2
    if options.target.exists():
        if not (options.target / "raw").is_dir() and any(options.target.iterdir()):
            print(f"error: {options.target} holds other files; give another --target", file=sys.stderr)
            return 2
        shutil.rmtree(options.target)
    start = time.monotonic()
    steps = commands(options.target, epochs=options.epochs)
    for number, (what, words) in enumerate(steps, start=1):
        print(f"\n[{number}/{len(steps)}] {what}\n$ python {shlex.join(words)}", flush=True)
        status = subprocess.run([sys.executable, *words], env={**os.environ, "PYTHONWARNINGS": "ignore"}).returncode
        if status:
            return status
    print(f"\nDone in {time.monotonic() - start:.0f} s. Objects of every image: {options.target / 'objects'}")
    print((options.target / "evaluation" / "report.html").resolve())
    return 0


if __name__ == "__main__":
    sys.exit(main())
