"""Trainings and evaluations by torchrun: two processes on the CPU, by the overlays for several GPUs."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from bundle_settings import QUICK, ROOT

pytestmark = pytest.mark.slow

ENVIRONMENT = {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}


def words_of(
    n_processes: int,
    workflow: str,
    bundle,
    dataset_dir,
    output,
    place: tuple[str, ...] = ("--standalone",),
    **keys: object,
) -> list[str]:
    """Give the command `medseg train` or `evaluate`, by torchrun where there are several processes.

    `place` tells torchrun of the machines: by default this one is alone.
    """
    launcher = ["-m", "torch.distributed.run", *place, f"--nproc-per-node={n_processes}", "--max-restarts=2"]
    command = ["-m", "medseg_ext.cli", workflow, "--bundle", bundle, "--data", dataset_dir, "--output", output]
    options = [word for key, value in {**QUICK, **keys}.items() for word in (f"--{key}", str(value))]
    return [
        sys.executable,
        *(launcher if n_processes > 1 or place != ("--standalone",) else []),
        *map(str, command),
        *options,
    ]


def run(*arguments, **keys: object) -> None:
    result = subprocess.run(words_of(*arguments, **keys), cwd=ROOT, capture_output=True, text=True, env=ENVIRONMENT)
    assert result.returncode == 0, result.stderr[-3000:]


def run_on_two_machines(*arguments, **keys: object) -> None:
    """Run torchrun twice, with a process each, which meet at an address of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ("--nnodes=2", "--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=two")
    words = words_of(1, *arguments, place=place, **keys)
    machines = [
        subprocess.Popen(words, cwd=ROOT, text=True, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(2)
    ]
    said = [machine.communicate(timeout=600)[0] for machine in machines]
    assert [machine.returncode for machine in machines] == [0, 0], "\n".join(text[-3000:] for text in said)


def curve_of(folder) -> list[dict[str, float]]:
    with (folder / "iou_curve.csv").open() as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.parametrize("name", ["dsb2018_unet", "segpc2021_unetplusplus"])
def test_two_processes_train_as_one_does(name, sample_data_sets, tmp_path):
    """Batch norms, a Dice over the batch, stochastic depth and augmentation, with three crops a batch for two."""
    bundle, dataset_dir = ROOT / "bundles" / name, sample_data_sets[name.partition("_")[0]]
    keys = {
        "max_epochs": 2, "val_interval": 1, "batch_size": 3, "ema_momentum": 0.5, "learning_rate": 1e-4,
        "ckpt_path": bundle / "models" / "model.pt",
    }  # fmt: skip
    for count in (1, 2):
        run(count, "train", bundle, dataset_dir, tmp_path / str(count), **keys)
    one, two = (curve_of(tmp_path / str(count)) for count in (1, 2))
    assert [row["epoch"] for row in one] == [0, 1, 2]  # the start is validated first
    assert one[0]["validation_iou"] > 0.05
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, abs=1e-4, nan_ok=True)


def test_two_processes_train_every_bundle_and_evaluate_to_the_last_digit(bundle, dataset_dir, tmp_path):
    keys = {"max_epochs": 1, "val_interval": 1, "ema_momentum": 0.5}
    run(2, "train", bundle, dataset_dir, tmp_path / "run", ckpt_path="null", **keys)
    assert len(curve_of(tmp_path / "run")) == 1
    kept, checkpoint = (
        torch.load(tmp_path / "run" / name, weights_only=True) for name in ("model.pt", "checkpoint.pt")
    )
    torch.testing.assert_close(dict(kept), dict(checkpoint["averaged_weights"]), rtol=0, atol=0)
    for count in (1, 2, 3):  # there are two images
        run(count, "evaluate", bundle, dataset_dir, tmp_path / str(count), ckpt_path=tmp_path / "run" / "model.pt")
    one, two, three = (json.loads((tmp_path / str(count) / "metrics.json").read_text()) for count in (1, 2, 3))
    assert one["images"] == 2
    assert one == two == three


def test_two_machines_train_and_evaluate_as_one_process_does(sample_data_sets, tmp_path):
    bundle, dataset_dir = ROOT / "bundles" / "dsb2018_unet", sample_data_sets["dsb2018"]
    start = {"ckpt_path": bundle / "models" / "model.pt"}
    keys = {"max_epochs": 2, "val_interval": 1, "batch_size": 3, "ema_momentum": 0.5, "learning_rate": 1e-4, **start}
    run(1, "train", bundle, dataset_dir, tmp_path / "one", **keys)
    run_on_two_machines("train", bundle, dataset_dir, tmp_path / "two", **keys)
    one, two = curve_of(tmp_path / "one"), curve_of(tmp_path / "two")
    assert [row["epoch"] for row in one] == [0, 1, 2]  # the start is validated first
    for alone, shared in zip(one, two, strict=True):
        assert shared == pytest.approx(alone, abs=1e-4, nan_ok=True)  # it has no losses
    run(1, "evaluate", bundle, dataset_dir, tmp_path / "alone", **start)
    run_on_two_machines("evaluate", bundle, dataset_dir, tmp_path / "shared", **start)
    alone, shared = ((tmp_path / name / "metrics.json").read_bytes() for name in ("alone", "shared"))
    assert alone == shared


def processes_of(launcher: int) -> dict[int, int]:
    """Find the processes that torchrun has started: by rank, their ids."""
    ranks = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (folder / "environ").read_bytes().split(b"\0") if parent == launcher else []
        except OSError:  # it has ended
            continue
        ranks |= {int(each[5:]): int(folder.name) for each in variables if each.startswith(b"RANK=")}
    return ranks


@pytest.mark.skipif(not Path("/proc/self/environ").is_file(), reason="looks for processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_training_of_which_a_process_is_killed_is_started_again_and_ends_as_if_it_had_not(
    rank, sample_data_sets, tmp_path
):
    bundle, dataset_dir = ROOT / "bundles" / "dsb2018_unet", sample_data_sets["dsb2018"]
    keys = {"max_epochs": 4, "val_interval": 1, "ema_momentum": 0.5, "num_workers": 1}
    run(2, "train", bundle, dataset_dir, tmp_path / "whole", **keys)
    killed = tmp_path / "killed"
    words = words_of(2, "train", bundle, dataset_dir, killed, **keys)
    with (tmp_path / "log").open("w") as log:
        launcher = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, env=ENVIRONMENT)
        curve = killed / "iou_curve.csv"
        while launcher.poll() is None and not (curve.is_file() and "\n1," in curve.read_text()):
            time.sleep(0.1)
        time.sleep(0.5)  # into the next epoch
        os.kill(processes_of(launcher.pid)[rank], signal.SIGKILL)
        assert launcher.wait() == 0, (tmp_path / "log").read_text()[-3000:]
    assert "resumed after epoch" in (tmp_path / "log").read_text()
    assert (killed / "iou_curve.csv").read_bytes() == (tmp_path / "whole" / "iou_curve.csv").read_bytes()
    one, other = (torch.load(folder / "model.pt", weights_only=True) for folder in (tmp_path / "whole", killed))
    torch.testing.assert_close(dict(one), dict(other), rtol=0, atol=0)
