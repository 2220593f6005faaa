"""The MONAI Deploy application, run for real, gives the very files of the bundle's own inference."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bundle_settings import BUNDLES, ROOT
from monai.bundle import ckpt_export
from PIL import Image

from medseg_ext.images.result_names import DONE_FILE
from medseg_ext.objects.formats import ResultFormats
from medseg_ext.objects.training_images import TRAINING_IMAGES_FILE

pytest.importorskip("monai.deploy.core", reason="needs the MONAI Deploy App SDK: make test-deploy")

APP = ROOT / "medseg_ext" / "deploy"


def run(*words: object, **options: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, **options)


def run_app(*words: object, **options: object) -> subprocess.CompletedProcess:
    return run("-m", "medseg_ext.deploy", *words, **options)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export a bundle with its shipped weights, by MONAI's own command; once for all tests."""
    folder = tmp_path_factory.mktemp("exported")

    def export(bundle: Path) -> Path:
        file = folder / bundle.name / "model.ts"
        if not file.exists():
            file.parent.mkdir()
            ckpt_export(
                net_id="network_def",
                filepath=str(file),
                ckpt_file=str(bundle / "models" / "model.pt"),
                meta_file=str(bundle / "configs" / "metadata.json"),
                config_file=str(bundle / "configs" / "inference.json"),
                key_in_ckpt="",
            )
            shutil.copy(bundle / "models" / TRAINING_IMAGES_FILE, file.parent)
        return file

    return export


def draw_crowd(file: Path) -> None:
    """Draw 20 x 20 bright discs on a dark ground."""
    rows, columns = np.mgrid[:480, :480]
    inside = (rows % 24 - 12) ** 2 + (columns % 24 - 12) ** 2 <= 8**2
    noise = np.random.default_rng(0).normal(0, 6, inside.shape)
    Image.fromarray(np.clip(np.where(inside, 150, 20) + noise, 0, 255).astype(np.uint8)).save(file)


@pytest.fixture(scope="module")
def images(tmp_path_factory, sample_data_sets):
    """A folder for each data set: images of the sample in several sizes and kinds, a crowd, and a damaged one."""
    folders = {}
    for name, data_set in sample_data_sets.items():
        folders[name] = folder = tmp_path_factory.mktemp(name)
        first, second, third, *_ = (Image.open(file) for file in sorted((data_set / "images").iterdir()))
        first.save(folder / "first.png")
        second.crop((0, 0, second.width - 37, second.height // 2)).save(folder / "cropped.jpg")
        third.convert("L").transpose(Image.Transpose.ROTATE_90).save(folder / "grey.tif")
        (folder / "broken.png").write_bytes((folder / "first.png").read_bytes()[:2000])
        draw_crowd(folder / "crowd.png")
    return folders


def summary_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def test_the_application_writes_the_files_of_the_bundle_s_inference(bundle, exported, images, tmp_path):
    folder = images[bundle.name.partition("_")[0]]
    on_cpu = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    app = run_app("-i", folder, "-o", tmp_path / "app", "-m", exported(bundle), cwd=tmp_path, env=on_cpu)
    assert app.returncode == 0, app.stderr[-3000:]
    inference = run(
        "-m", "monai.bundle", "run", "inference", "--config_file", bundle / "configs" / "inference.json",
        "--dataset_dir", folder, "--output_dir", tmp_path / "bundle", "--num_workers", 0,
        "--device", "cpu", "--amp", False, "--engine", "torch",  # as the application does on a CPU
        cwd=tmp_path,
    )  # fmt: skip
    assert inference.returncode == 1, inference.stderr[-3000:]

    read = ["crowd", "cropped", "first", "grey"]
    written = {path.name for path in (tmp_path / "app").iterdir()} - {DONE_FILE}
    assert written == {path.name for name in read for path in ResultFormats().paths(Path(), name).values()} | {
        "summary.csv"
    }
    for name in read:
        for decode, ending in [(tifffile.imread, "instances.tif"), (Image.open, "classes.png")]:
            ours, theirs = (np.asarray(decode(tmp_path / by / f"{name}_{ending}")) for by in ("app", "bundle"))
            assert ours.dtype == theirs.dtype
            assert ours.shape == theirs.shape
            assert (ours != theirs).sum() == 0, f"{name}_{ending}"
    for name in written:
        assert (tmp_path / "app" / name).read_bytes() == (tmp_path / "bundle" / name).read_bytes(), name

    summary = summary_of(tmp_path / "app")
    assert summary.pop("broken.png")["status"].startswith("error: ")
    assert {row["status"] for row in summary.values()} == {"ok"}
    assert len({(row["height"], row["width"]) for row in summary.values()}) == len(read)
    assert sum(int(row["objects"]) for row in summary.values()) > 0
    if bundle.name.startswith("dsb2018"):
        labels = tifffile.imread(tmp_path / "app" / "crowd_instances.tif")
        assert len(np.unique(labels)) - 1 == labels.max() == int(summary["crowd.png"]["objects"])
        # more than an 8-bit label map holds; PSPNet sees at an eighth of the resolution, and is sure of half of them
        assert labels.max() > (100 if bundle.name == "dsb2018_pspnet" else 255)


@pytest.fixture
def one_bundle():
    return next(bundle for bundle in BUNDLES if bundle.name == "dsb2018_unet")


def test_a_staged_package_runs_as_in_its_container(one_bundle, exported, images, tmp_path):
    # What the README says, and then what `monai-deploy package` does with the application and with the model.
    staged = shutil.copytree(ROOT / "medseg_ext", tmp_path / "app" / "medseg_ext").parent
    for name in ("__main__.py", "app.yaml", "requirements.txt"):
        shutil.copy(APP / name, staged)
    (tmp_path / "models" / "model").mkdir(parents=True)
    shutil.copy(exported(one_bundle), tmp_path / "models" / "model")
    (tmp_path / "input").mkdir()
    shutil.copy(images["dsb2018"] / "first.png", tmp_path / "input")
    environment = os.environ | {
        "HOLOSCAN_INPUT_PATH": str(tmp_path / "input"),
        "HOLOSCAN_OUTPUT_PATH": str(tmp_path / "output"),
        "HOLOSCAN_MODEL_PATH": str(tmp_path / "models"),
    }
    process = run(staged, env=environment, cwd=tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]
    assert summary_of(tmp_path / "output")["first.png"]["status"] == "ok"


def error_of(process: subprocess.CompletedProcess) -> str:
    assert process.returncode == 2, process.stderr[-3000:]
    assert "Traceback" not in process.stderr
    return next(line for line in process.stderr.splitlines() if line.startswith("error: "))


def test_what_is_no_exported_bundle_is_refused(images, tmp_path):
    (tmp_path / "model.ts").write_bytes(b"no archive")
    process = run_app("-i", images["dsb2018"], "-o", tmp_path / "out", "-m", tmp_path / "model.ts", cwd=tmp_path)
    assert error_of(process).startswith(f"error: {tmp_path / 'model.ts'} is not one model in TorchScript")


def test_images_that_would_be_overwritten_are_refused(one_bundle, exported, tmp_path):
    for name in ("a.png", "a_classes.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / name)
    before = (tmp_path / "a_classes.png").read_bytes()
    process = run_app("-i", tmp_path, "-o", tmp_path, "-m", exported(one_bundle), cwd=tmp_path)
    assert "a_classes.png is one of the images" in error_of(process)
    assert (tmp_path / "a_classes.png").read_bytes() == before


def test_objects_that_cannot_be_written_are_reported_and_the_others_are(one_bundle, exported, images, tmp_path):
    (tmp_path / "first_instances.tif").mkdir()  # where a file is to be written
    process = run_app("-i", images["dsb2018"], "-o", tmp_path, "-m", exported(one_bundle), cwd=tmp_path)
    assert process.returncode == 0, process.stderr[-3000:]
    rows = summary_of(tmp_path)
    assert rows["first.png"]["status"].startswith("error: ")
    assert "first_instances.tif" in rows["first.png"]["status"]
    assert rows["cropped.jpg"]["status"] == rows["grey.tif"]["status"] == "ok"


def test_a_run_of_which_no_image_is_done_is_no_success(one_bundle, exported, images, tmp_path):
    (tmp_path / "first_instances.tif").mkdir()
    only = images["dsb2018"] / "first.png"
    process = run_app("-i", only, "-o", tmp_path, "-m", exported(one_bundle), cwd=tmp_path)
    assert process.returncode != 0
    assert "none of 1 images is done" in process.stderr
