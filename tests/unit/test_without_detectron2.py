import os
import subprocess
import sys

from bundle_settings import BUNDLES, ROOT
from PIL import Image

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "blocked")}
THE_DOOR = "medseg_ext.networks.mask_rcnn_detectron2"
OTHER_DOORS = (
    *(f"medseg_ext.deploy.{name}" for name in ("app", "operators")),  # to the MONAI Deploy App SDK
    *(f"medseg_ext.napari.{name}" for name in ("narrow", "save_widget", "segment_widget")),  # to napari and Qt
)

IMPORT_ALL = f"""
import importlib, pkgutil, sys
import medseg_ext
for module in pkgutil.walk_packages(medseg_ext.__path__, "medseg_ext."):
    if module.name not in ("{THE_DOOR}", *{OTHER_DOORS}):
        importlib.import_module(module.name)
try:
    importlib.import_module("{THE_DOOR}")
except ModuleNotFoundError as error:
    assert error.name == "detectron2"
else:
    raise AssertionError("Detectron2 was not blocked")
"""


def run(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, words)], env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True)


def test_all_modules_but_one_are_imported_without_it():
    result = run("-c", IMPORT_ALL)
    assert result.returncode == 0, result.stderr[-3000:]


def test_a_mask_rcnn_bundle_says_how_to_install_it(tmp_path):
    bundle = next(each for each in BUNDLES if each.name.endswith("mask_rcnn"))
    Image.new("RGB", (64, 64)).save(tmp_path / "image.png")
    result = run(
        "-m", "monai.bundle", "run", "inference", "--config_file", bundle / "configs" / "inference.json",
        "--output_dir", tmp_path / "out", "--dataset_dir", tmp_path,
    )  # fmt: skip
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: The Mask R-CNN bundles need Detectron2")
    assert "`make detectron2`" in last
    assert not (tmp_path / "out").exists()
