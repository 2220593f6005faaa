"""The multi-GPU overlays, run with two processes on the CPU."""

import csv
import json
import subprocess
import sys

import pytest
import torch
from bundle_settings import QUICK, ROOT

pytestmark = pytest.mark.slow


def run_on_two(run_id, files, *words):
    options = [word for key, value in QUICK.items() for word in (f"--{key}", str(value)) if key != "device"]
    result = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "monai.bundle"]
        + ["run", run_id, "--config_file", str(list(map(str, files))), *map(str, words), *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 0, result.stderr[-3000:]


def test_two_processes_train_and_evaluate_as_one(bundle, dataset_dir, tmp_path):
    configs = bundle / "configs"
    run_on_two(
        "training", [configs / "train.json", configs / "multi_gpu_train.json"], "--dataset_dir", dataset_dir,
        "--output_dir", tmp_path / "run", "--max_epochs", 1, "--val_interval", 1, "--ema_momentum", 0.5,
    )  # fmt: skip
    assert len(list(csv.DictReader((tmp_path / "run" / "iou_curve.csv").open()))) == 1
    kept, checkpoint = (
        torch.load(tmp_path / "run" / name, weights_only=True) for name in ("model.pt", "checkpoint.pt")
    )
    torch.testing.assert_close(dict(kept), dict(checkpoint["averaged_weights"]), rtol=0, atol=0)

    both = [configs / "evaluate.json", configs / "multi_gpu_evaluate.json"]
    weights = ["--dataset_dir", dataset_dir, "--ckpt_path", tmp_path / "run" / "model.pt"]
    run_on_two("evaluate", both, *weights, "--output_dir", tmp_path / "two")
    subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "evaluate", "--config_file", configs / "evaluate.json", *weights]
        + ["--output_dir", tmp_path / "one", "--device", "cpu", "--num_workers", "0", "--amp", "False"]
        + ["--patch_size", "[64, 64]"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert one["images"] == two["images"] > 1
    for name, score in one["metrics"].items():
        assert two["metrics"][name]["value"] == pytest.approx(score["value"], abs=1e-3, nan_ok=True), name
