"""Every bundle trains, evaluates and infers, by MONAI's own command line."""

import csv
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from bundle_runs import EVALUATE, INFERENCE, TRAIN, quick, run_bundle, run_in_a_process_of_its_own
from bundle_settings import TWINS_ARE_SLOW, UNET
from PIL import Image

from medseg_ext.metrics import ScoreCalibration
from medseg_ext.objects.training_images import TrainingImages


@pytest.fixture(params=TWINS_ARE_SLOW, ids=lambda path: path.name)
def bundle(request):
    """Folder of a bundle; those of Mask R-CNN where Detectron2 is installed."""
    if request.param.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    return request.param


def run(bundle: Path, *words: object, cwd: Path) -> subprocess.CompletedProcess:
    """Run a bundle; one of them in a process of its own, as people do."""
    return (run_in_a_process_of_its_own if bundle == UNET else run_bundle)(*words, cwd=cwd)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, sample_data_sets):
    """Train each bundle for an epoch, from a copy of its folder, by the command line; once for all tests."""
    folder, runs = tmp_path_factory.mktemp("copied"), {}

    def train(bundle: Path) -> tuple[Path, Path]:
        if bundle not in runs:
            copy = shutil.copytree(bundle, folder / bundle.name, ignore=shutil.ignore_patterns("eval", "model.ts"))
            data = sample_data_sets[bundle.name.partition("_")[0]]
            result = run(
                bundle, "training", "--config_file", TRAIN, "--dataset_dir", data, "--output_dir", "out",
                *quick(max_epochs=1, val_interval=1, ema_momentum=0.5), cwd=copy,
            )  # fmt: skip
            assert result.returncode == 0, result.stderr[-3000:]
            runs[bundle] = copy, copy / "out"
        return runs[bundle]

    return train


def test_a_copied_bundle_trains_and_writes_weights_curve_and_training_images(bundle, trained):
    _, out = trained(bundle)
    rows = list(csv.DictReader((out / "iou_curve.csv").open()))
    assert [row["epoch"] for row in rows] == ["1"]
    assert 0 <= float(rows[0]["validation_iou"]) <= 1
    assert Image.open(out / "iou_curve.png").size[0] > 300
    weights = torch.load(out / "model.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())
    assert list(out.glob("events.out.tfevents.*"))
    assert len(TrainingImages.read(out / "training_images.json").values) == 6
    assert ScoreCalibration.read(out) is not None


def test_the_averaged_weights_are_those_that_are_kept(bundle, trained):
    _, out = trained(bundle)
    kept, checkpoint = (torch.load(out / name, weights_only=True) for name in ("model.pt", "checkpoint.pt"))
    torch.testing.assert_close(dict(kept), dict(checkpoint["averaged_weights"]), rtol=0, atol=0)
    assert any(not torch.equal(kept[name], value) for name, value in checkpoint["network"].items())


def test_training_leaves_the_shipped_weights_alone(bundle, trained):
    copy, _ = trained(bundle)
    shipped = bundle / "models" / "model.pt"
    assert (copy / "models" / "model.pt").read_bytes() == shipped.read_bytes()


def test_a_resumed_training_goes_on_where_it_stopped(a_bundle, trained, dataset_dir, tmp_path):
    copy, out = trained(a_bundle)
    resumed = shutil.copytree(out, tmp_path / "out")
    result = run_bundle(
        "training", "--config_file", TRAIN, "--dataset_dir", dataset_dir, "--output_dir", resumed, "--resume", "True",
        *quick(max_epochs=2, val_interval=1, ema_momentum=0.0001), cwd=copy,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert [row["epoch"] for row in csv.DictReader((resumed / "iou_curve.csv").open())] == ["1", "2"]
    before, after = (torch.load(folder / "checkpoint.pt", weights_only=True) for folder in (out, resumed))
    name = [name for name, value in after["network"].items() if value.ndim == 4][-1]  # the first ones may be frozen
    step = (after["network"][name] - before["network"][name]).norm()
    # Of an average with so little of the new steps the old one is nearly all, if it was taken over.
    changed = (after["averaged_weights"][name] - before["averaged_weights"][name]).norm()
    assert 0 < changed < 0.1 * step
    assert (before["averaged_weights"][name] - before["network"][name]).norm() > 2 * changed


def test_training_again_into_a_folder_is_refused_before_anything_is_written(a_bundle, trained, dataset_dir, tmp_path):
    copy, out = trained(a_bundle)
    again = shutil.copytree(out, tmp_path / "out")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in again.iterdir()}
    result = run_bundle(
        "training", "--config_file", TRAIN, "--dataset_dir", dataset_dir, "--output_dir", again, *quick(max_epochs=1),
        cwd=copy,
    )  # fmt: skip
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {again} holds model.pt, checkpoint.pt, iou_curve.csv, iou_curve.png")
    assert "Traceback" not in result.stderr
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in again.iterdir()} == before


def test_evaluate_writes_metrics_and_report(bundle, trained, dataset_dir, tmp_path):
    copy, out = trained(bundle)
    result = run(
        bundle, "evaluate", "--config_file", EVALUATE, "--dataset_dir", dataset_dir, "--ckpt_path", out / "model.pt",
        "--output_dir", tmp_path, *quick(), cwd=copy,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    value, interval = (metrics["metrics"]["foreground_iou"][key] for key in ("value", "interval_95"))
    assert 0 <= value <= 1
    assert interval == [None, None]  # of so few images there is none
    rows = list(csv.DictReader((tmp_path / "metrics_per_image.csv").open()))
    assert np.mean([float(row["foreground_iou"]) for row in rows]) == pytest.approx(value, abs=1e-5)
    testing = json.loads((dataset_dir / "dataset.json").read_text())["testing"]
    assert {row["id"]: row["group"] for row in rows} == {item["id"]: item["group"] for item in testing}
    assert metrics["groups"] == len({item["group"] for item in testing})
    page = (tmp_path / "report.html").read_text()
    assert "http" not in page.partition("<body>")[2]
    assert f"{value:.3f}" in page


def test_evaluate_over_train_gives_what_it_gives_alone(trained, sample_data_sets, tmp_path):
    copy, out = trained(UNET)
    for name, files in {"alone": [EVALUATE], "over": [TRAIN, EVALUATE]}.items():
        result = run_bundle(
            "evaluate", "--config_file", str(files), "--dataset_dir", sample_data_sets["dsb2018"],
            "--ckpt_path", out / "model.pt", "--output_dir", tmp_path / name, *quick(), cwd=copy,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr[-3000:]
    alone, over = (json.loads((tmp_path / name / "metrics.json").read_text())["metrics"] for name in ("alone", "over"))
    assert alone == over


def test_inference_writes_the_objects_of_every_image_at_its_size(bundle, trained, dataset_dir, tmp_path):
    copy, _ = trained(bundle)
    folder = tmp_path / "images"
    folder.mkdir()
    sizes = {Image.open(path).size: path for path in sorted((dataset_dir / "images").iterdir())}
    for path in {*sizes.values(), min((dataset_dir / "images").iterdir())}:  # one of each size, and at least two
        shutil.copy(path, folder)
    result = run(  # with the shipped weights
        bundle, "inference", "--config_file", INFERENCE, "--dataset_dir", folder, "--output_dir", tmp_path / "out",
        "--num_workers", 0, "--device", "cpu", cwd=copy,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    images, out = sorted(folder.iterdir()), tmp_path / "out"
    summary = list(csv.DictReader((out / "summary.csv").open()))
    assert len(summary) == len(images)
    assert sum(int(row["objects"]) for row in summary) > len(images)
    for image in images:
        width, height = Image.open(image).size
        instances = tifffile.imread(out / f"{image.stem}_instances.tif")
        assert instances.shape == (height, width)
        assert instances.dtype == np.uint16
        objects = list(csv.DictReader((out / f"{image.stem}_objects.csv").open()))
        assert len(objects) == len(np.unique(instances)) - (0 in instances)
        classes = np.asarray(Image.open(out / f"{image.stem}_classes.png"))
        assert ((classes > 0) == (instances > 0)).all()
        assert (out / f"{image.stem}_overlay.png").is_file()
        assert json.loads((out / f"{image.stem}_objects.geojson").read_text())["type"] == "FeatureCollection"


@pytest.mark.slow
def test_training_learns_its_images_by_heart(bundle, dataset_dir, tmp_path):
    result = run_bundle(
        "training", "--config_file", bundle / TRAIN, "--dataset_dir", dataset_dir, "--output_dir", tmp_path,
        "--max_epochs", 60, "--val_interval", 60, "--num_workers", 0, "--device", "cpu", "--patch_size", "[128,128]",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    result = run_bundle(
        "evaluate", "--config_file", bundle / EVALUATE, "--dataset_dir", dataset_dir, "--split", "training",
        "--ckpt_path", tmp_path / "model.pt", "--output_dir", tmp_path / "evaluation", "--num_workers", 0,
        "--device", "cpu", "--patch_size", "[128,128]",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["metrics"]
    assert metrics["foreground_iou"]["value"] > 0.7
