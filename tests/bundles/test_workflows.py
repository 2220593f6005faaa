"""Every bundle trains, evaluates and infers, by MONAI's own workflow class and command line."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from bundle_settings import BUNDLES, QUICK, ROOT
from monai.bundle import ConfigParser, ConfigWorkflow
from PIL import Image
from scipy import ndimage
from skimage import measure

TRAIN, EVALUATE, INFERENCE = "configs/train.json", "configs/evaluate.json", "configs/inference.json"


def workflow(bundle: Path, files: list[str], kind: str, **override: object) -> ConfigWorkflow:
    return ConfigWorkflow(
        config_file=[str(bundle / file) for file in files],
        workflow_type=kind,
        bundle_root=str(bundle),
        logging_file=False,
        **{**QUICK, **override},
    )


ALONE = [([TRAIN], "train"), ([TRAIN, EVALUATE], "train"), ([EVALUATE], "infer"), ([INFERENCE], "infer")]
OVERLAID = [
    ([TRAIN, "configs/multi_gpu_train.json"], "train"),
    ([EVALUATE, "configs/multi_gpu_evaluate.json"], "infer"),
]


def workflow_id(value: object) -> str:
    return "+".join(Path(file).stem for file in value) if isinstance(value, list) else str(value)


@pytest.mark.parametrize(("files", "kind"), ALONE, ids=workflow_id)
def test_every_workflow_has_all_properties_of_monai(bundle, dataset_dir, tmp_path, files, kind):
    data = dataset_dir / "images" if files == [INFERENCE] else dataset_dir
    whole = workflow(bundle, files, kind, dataset_dir=str(data), output_dir=str(tmp_path))
    whole.initialize()
    assert whole.check_properties() == []


@pytest.mark.parametrize(("files", "kind"), OVERLAID, ids=workflow_id)
def test_every_multi_gpu_overlay_has_all_properties_of_monai(bundle, dataset_dir, tmp_path, files, kind):
    # In a process of its own: a process group that was once initialised stays known to Ignite.
    options = {**QUICK, "bundle_root": str(bundle), "dataset_dir": str(dataset_dir), "output_dir": str(tmp_path)}
    configs = [str(bundle / file) for file in files]
    code = f"""
from monai.bundle import ConfigWorkflow
whole = ConfigWorkflow({configs}, workflow_type={kind!r}, logging_file=False, **{options})
whole.initialize()
assert whole.check_properties() == [], whole.check_properties()
whole.finalize()
"""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1"]
    script = tmp_path / "check.py"
    script.write_text(code)
    result = subprocess.run([*launcher, str(script)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]


def run_bundle(*words: object, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", *map(str, words)], cwd=cwd, capture_output=True, text=True
    )


def quick(**override: object) -> list[str]:
    return [word for key, value in {**QUICK, **override}.items() for word in (f"--{key}", str(value))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, sample_data_sets):
    """Train each bundle for an epoch, from a copy of its folder, by the command line; once for all tests."""
    folder, runs = tmp_path_factory.mktemp("copied"), {}

    def train(bundle: Path) -> tuple[Path, Path]:
        if bundle not in runs:
            copy = shutil.copytree(bundle, folder / bundle.name, ignore=shutil.ignore_patterns("eval", "model.ts"))
            data = sample_data_sets[bundle.name.partition("_")[0]]
            result = run_bundle(
                "training", "--config_file", TRAIN, "--dataset_dir", data, "--output_dir", "out",
                *quick(max_epochs=1, val_interval=1, ema_momentum=0.5), cwd=copy,
            )  # fmt: skip
            assert result.returncode == 0, result.stderr[-3000:]
            runs[bundle] = copy, copy / "out"
        return runs[bundle]

    return train


def test_a_copied_bundle_trains_and_writes_weights_and_curve(bundle, trained):
    _, out = trained(bundle)
    rows = list(csv.DictReader((out / "iou_curve.csv").open()))
    assert [row["epoch"] for row in rows] == ["1"]
    assert 0 <= float(rows[0]["validation_iou"]) <= 1
    assert Image.open(out / "iou_curve.png").size[0] > 300
    weights = torch.load(out / "model.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())
    assert list(out.glob("events.out.tfevents.*"))


def test_the_averaged_weights_are_those_that_are_kept(bundle, trained):
    _, out = trained(bundle)
    kept, checkpoint = (torch.load(out / name, weights_only=True) for name in ("model.pt", "checkpoint.pt"))
    torch.testing.assert_close(dict(kept), dict(checkpoint["averaged_weights"]), rtol=0, atol=0)
    assert any(not torch.equal(kept[name], value) for name, value in checkpoint["network"].items())


def test_training_leaves_the_shipped_weights_alone(bundle, trained):
    copy, _ = trained(bundle)
    shipped = bundle / "models" / "model.pt"
    assert (copy / "models" / "model.pt").read_bytes() == shipped.read_bytes()


def test_a_resumed_training_goes_on_where_it_stopped(bundle, trained, dataset_dir, tmp_path):
    copy, out = trained(bundle)
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


def test_evaluate_writes_metrics_and_report(bundle, trained, dataset_dir, tmp_path):
    copy, out = trained(bundle)
    result = run_bundle(
        "evaluate", "--config_file", EVALUATE, "--dataset_dir", dataset_dir, "--ckpt_path", out / "model.pt",
        "--output_dir", tmp_path, *quick(), cwd=copy,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    value, (low, high) = (metrics["metrics"]["foreground_iou"][key] for key in ("value", "interval_95"))
    assert 0 <= low <= value <= high <= 1
    rows = list(csv.DictReader((tmp_path / "metrics_per_image.csv").open()))
    assert np.mean([float(row["foreground_iou"]) for row in rows]) == pytest.approx(value, abs=1e-5)
    testing = json.loads((dataset_dir / "dataset.json").read_text())["testing"]
    assert sorted(row["id"] for row in rows) == sorted(item["id"] for item in testing)
    page = (tmp_path / "report.html").read_text()
    assert "http" not in page.partition("<body>")[2]
    assert f"{value:.3f}" in page


def test_evaluate_over_train_gives_what_it_gives_alone(a_bundle, trained, dataset_dir, tmp_path):
    copy, out = trained(a_bundle)
    for name, files in {"alone": [EVALUATE], "over": [TRAIN, EVALUATE]}.items():
        result = run_bundle(
            "evaluate", "--config_file", str(files), "--dataset_dir", dataset_dir, "--ckpt_path", out / "model.pt",
            "--output_dir", tmp_path / name, *quick(), cwd=copy,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr[-3000:]
    alone, over = (json.loads((tmp_path / name / "metrics.json").read_text())["metrics"] for name in ("alone", "over"))
    assert alone == over


def test_inference_writes_the_objects_of_every_image_at_its_size(bundle, trained, dataset_dir, tmp_path):
    copy, _ = trained(bundle)
    result = run_bundle(  # with the shipped weights
        "inference", "--config_file", INFERENCE, "--dataset_dir", dataset_dir / "images", "--output_dir", tmp_path,
        "--num_workers", 0, "--device", "cpu", cwd=copy,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    images = sorted((dataset_dir / "images").iterdir())
    summary = list(csv.DictReader((tmp_path / "summary.csv").open()))
    assert len(summary) == len(images)
    assert sum(int(row["objects"]) for row in summary) > len(images)
    for image in images:
        width, height = Image.open(image).size
        instances = tifffile.imread(tmp_path / f"{image.stem}_instances.tif")
        assert instances.shape == (height, width)
        assert instances.dtype == np.uint16
        objects = list(csv.DictReader((tmp_path / f"{image.stem}_objects.csv").open()))
        assert len(objects) == len(np.unique(instances)) - (0 in instances)
        classes = np.asarray(Image.open(tmp_path / f"{image.stem}_classes.png"))
        assert ((classes > 0) == (instances > 0)).all()
        assert (tmp_path / f"{image.stem}_overlay.png").is_file()
        assert json.loads((tmp_path / f"{image.stem}_objects.geojson").read_text())["type"] == "FeatureCollection"


@pytest.mark.parametrize("config", [TRAIN, EVALUATE, INFERENCE])
def test_a_misspelt_option_is_refused_with_the_nearest_one(a_bundle, config):
    result = run_bundle("run", "--config_file", a_bundle / config, "--num_worker", 3)
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last == "error: --num_worker: no such key in the config; did you mean --num_workers?"
    assert "Traceback" not in result.stderr


def test_a_folder_that_is_not_prepared_is_refused_by_name(a_bundle, tmp_path):
    (tmp_path / "photo.txt").write_text("no data set")
    out = tmp_path / "out"
    result = run_bundle(
        "training", "--config_file", a_bundle / TRAIN, "--dataset_dir", tmp_path, "--output_dir", out, *quick()
    )
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {tmp_path}")
    assert "medseg prepare" in last
    assert not out.exists()


def test_the_data_set_of_another_bundle_is_refused(a_bundle, sample_data_sets, tmp_path):
    other = next(folder for name, folder in sample_data_sets.items() if not a_bundle.name.startswith(name))
    result = run_bundle(
        "training", "--config_file", a_bundle / TRAIN, "--dataset_dir", other, "--output_dir", tmp_path, *quick()
    )
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {other} has the classes")


def test_a_batch_of_mixed_sizes_is_refused_with_the_remedy(a_bundle, tmp_path):
    for name, size in [("a", (96, 96)), ("b", (96, 64))]:
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    result = run_bundle(
        "run", "--config_file", a_bundle / INFERENCE, "--dataset_dir", tmp_path, "--output_dir", tmp_path / "out",
        "--dataloader#batch_size", 2, "--num_workers", 1, "--device", "cpu",
    )  # fmt: skip
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: a batch must hold images of one size")
    assert "a.png" in last
    assert "set the dataloader's batch_size to 1" in last


@pytest.mark.parametrize("bundle", [each for each in BUNDLES if each.name.endswith("mask_rcnn")], ids=lambda b: b.name)
def test_augmentation_makes_no_new_pieces_of_objects_for_a_detector(bundle):
    # A mirrored piece would be one object with the piece that it mirrors. A semantic network learns pixels.
    parser = ConfigParser()
    parser.read_config(str(bundle / TRAIN))
    augment = parser.get_parsed_content("train#geometric_augmentation").set_random_state(seed=0)
    height, width = parser["patch_size"]
    rows, columns = np.ogrid[:height, :width]
    label = np.zeros((1, height, width), np.int32)
    for number, (row, column) in enumerate(np.ndindex(height // 40, width // 40), start=1):
        inside = (rows - 40 * row - 15) ** 2 + (columns - 40 * column - 15) ** 2 <= 15**2
        label[0][inside] = number
    item = {"image": torch.rand(3, height, width), "instances": torch.from_numpy(label)}
    item["classes"] = (item["instances"] > 0).byte()
    n_seen = 0
    for _ in range(10):
        augmented = augment(item)["instances"][0].numpy()
        assert augmented.shape == (height, width)
        for number in np.unique(augmented[augmented > 0]):
            pieces = np.bincount(measure.label(augmented == number).flatten())[1:]
            assert (pieces >= 10).sum() <= 1  # pixels at a corner may part
            n_seen += 1
    assert n_seen > 100


def test_labels_stay_under_their_image_in_every_augmentation(bundle):
    parser = ConfigParser()
    parser.read_config(str(bundle / TRAIN))
    augment = parser.get_parsed_content("train#geometric_augmentation").set_random_state(seed=0)
    side = int(1.6 * max(parser["patch_size"]))
    rows, columns = np.ogrid[:side, :side]
    disc = ((rows - side / 2) ** 2 + (columns - side / 2) ** 2 <= (side / 14) ** 2)[None]
    item = {
        "image": torch.from_numpy(disc.astype(np.float32)).repeat(3, 1, 1),
        "instances": torch.from_numpy(disc).int(),
    }
    item["classes"] = item["instances"].byte()
    shifts = []
    for _ in range(60):
        augmented = augment(item)
        image, *labels = (np.asarray(augmented[key][0], dtype=float) for key in ("image", "instances", "classes"))
        edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        if edges.max() == 0 and image.max() > 0:  # else a part of the disc is outside
            centres = np.array([ndimage.center_of_mass(each) for each in (image, *labels)])
            shifts.append(centres[1:] - centres[0])
    assert len(shifts) > 20
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.1  # pixels


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


def test_missing_weights_are_named(a_bundle, dataset_dir, tmp_path):
    missing = tmp_path / "missing.pt"
    result = run_bundle(
        "evaluate", "--config_file", a_bundle / EVALUATE, "--dataset_dir", dataset_dir, "--ckpt_path", missing,
        "--output_dir", tmp_path, *quick(),
    )  # fmt: skip
    assert result.returncode != 0
    assert str(missing) in result.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "metrics.json").exists()


def test_the_weights_of_another_bundle_are_refused(a_bundle, dataset_dir, tmp_path):
    other = next(each for each in BUNDLES if each.name.partition("_")[2] != a_bundle.name.partition("_")[2])
    result = run_bundle(
        "evaluate", "--config_file", a_bundle / EVALUATE, "--dataset_dir", dataset_dir,
        "--ckpt_path", other / "models" / "model.pt", "--output_dir", tmp_path, *quick(),
    )  # fmt: skip
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {other / 'models' / 'model.pt'}: holds the weights of another architecture")
    assert "Traceback" not in result.stderr
