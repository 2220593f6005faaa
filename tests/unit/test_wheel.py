"""An installed wheel works without the clone, with nothing but the dependencies of no extra."""

import csv
import os
import shutil
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medseg_ext.packing.site_packages import applicable, closure, own_python

ROOT = Path(__file__).parents[2]
SOURCES = ("medseg_ext", "bundles", "pyproject.toml", "setup.py", "README.md", "LICENSE")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy of the sources, without the network."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / "bundles" / "dsb2018_unet" / "eval").mkdir(exist_ok=True)
    (folder / "bundles" / "dsb2018_unet" / "eval" / "report.html").write_text("of a run")
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--wheel-dir", str(folder / "wheels")]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, str(folder)], check=True)
    return next((folder / "wheels").glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel, tmp_path_factory):
    """Install it into a folder beside links to what it depends on."""
    site = tmp_path_factory.mktemp("environment") / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", "--target", str(site)]
    subprocess.run([*install, str(wheel)], check=True)
    installed = Distribution.at(next(site.glob("medseg_ext-*.dist-info")))
    needed = closure([each.name for each in applicable(installed.requires or [], own_python())], own_python())
    assert not {"torchvision", "transformers", "tensorboard", "itk-io", "pydicom", "openvino"} & needed.keys()
    for dependency in filter(None, needed.values()):
        for top in {file.parts[0] for file in dependency.files or () if not file.parts[0].endswith((".pth", ".."))}:
            place = Path(str(dependency.locate_file(top)))
            if place.exists() and not (site / top).exists():
                (site / top).symlink_to(place)
    return site


@pytest.fixture
def medseg(site, tmp_path):
    """Run its command in a folder of its own; `-S` leaves this environment's packages out."""

    def run(*words):
        environment = {name: value for name, value in os.environ.items() if name != "MEDSEG_BUNDLES"}
        return subprocess.run(
            [sys.executable, "-S", site / "bin" / "medseg", *words],
            env={**environment, "PYTHONPATH": str(site)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture
def images(tmp_path):
    """Two images of bright discs."""
    (tmp_path / "images").mkdir()
    rows, columns = np.ogrid[:96, :128]
    for number, centre in enumerate((40, 60)):
        disc = (rows - 48) ** 2 + (columns - centre) ** 2 < 10**2
        Image.fromarray(np.where(disc, 200, 20).astype(np.uint8)).save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "images"


def files_of(folder):
    return {path.relative_to(folder) for path in folder.rglob("*") if "__pycache__" not in path.parts}


def test_it_segments_with_a_bundle_that_came_along_and_writes_where_it_was_called(medseg, images, site, tmp_path):
    packed = site / "medseg_ext" / "_bundles"
    before = files_of(packed)
    ended = medseg("segment", "images", "--bundle", "dsb2018_unet")
    assert ended.returncode == 0, ended.stderr
    assert f"segmenting with {packed / 'dsb2018_unet'}" in ended.stderr
    with (tmp_path / "objects" / "summary.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok", "ok"]
    assert files_of(packed) == before


def test_every_bundle_comes_along_without_what_runs_wrote(medseg, site):
    listed = medseg("bundles").stdout
    for metadata in (ROOT / "bundles").glob("*/configs/metadata.json"):
        assert metadata.parents[1].name in listed
        assert (site / "medseg_ext" / "_bundles" / metadata.parents[1].name / "models" / "model.pt").is_file()
    assert not (site / "medseg_ext" / "_bundles" / "dsb2018_unet" / "eval").exists()


def test_what_needs_an_extra_names_it(medseg, images, tmp_path):
    segformer = medseg("segment", "images", "--bundle", "dsb2018_segformer")
    training = medseg("train", "--bundle", "dsb2018_unet", "--data", "data", "--output", "run")
    (tmp_path / "scan.dcm").write_bytes(bytes(128) + b"DICM")
    scan = medseg("segment", "scan.dcm", "--bundle", "dsb2018_unet")
    for ended, extra in ((segformer, "segformer"), (training, "train"), (scan, "dicom")):
        assert ended.returncode == 2
        assert f"pip install 'medseg-ext[{extra}]'" in ended.stderr.splitlines()[-1]
        assert "Traceback" not in ended.stderr
