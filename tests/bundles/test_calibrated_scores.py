"""A calibration changes the scores of objects, by one map for all ways to find them, and nothing else."""

import csv

import numpy as np
import pytest
import tifffile
from bundle_settings import QUICK
from monai.bundle import ConfigWorkflow
from PIL import Image

from medseg_ext.metrics import ScoreCalibration

RAW = {"score_temperature": 1.0, "score_bias": 0.0}
CALIBRATED = {"score_temperature": 1.7, "score_bias": -1.5}
TILES = {"large_image_px": 1000, "tile_size": 160, "tile_margin": 96}


def infer(bundle, images, output_dir, **options) -> None:
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs/inference.json"), workflow_type="infer", bundle_root=str(bundle),
        logging_file=False, **QUICK | options, dataset_dir=str(images), output_dir=str(output_dir),
    )  # fmt: skip
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def scores_of(folder) -> np.ndarray:
    return np.array([float(row["score"]) for row in csv.DictReader((folder / "image_objects.csv").open())])


@pytest.mark.parametrize("tiles", [{}, TILES], ids=["whole", "tiles"])
def test_objects_stay_as_they_are_and_scores_are_mapped(a_bundle, dataset_dir, tmp_path, tiles):
    image = np.asarray(Image.open(min((dataset_dir / "images").iterdir())).convert("RGB"))
    (tmp_path / "images").mkdir()
    tifffile.imwrite(
        tmp_path / "images" / "image.tif", np.tile(image, (2, 2, 1))[:320, :320], photometric="rgb", tile=(64, 64)
    )
    for name, options in (("raw", RAW), ("calibrated", CALIBRATED)):
        infer(a_bundle, tmp_path / "images", tmp_path / name, **options | tiles)
    for file in ("image_instances.tif", "image_classes.png", "image_overlay.png"):
        assert (tmp_path / "calibrated" / file).read_bytes() == (tmp_path / "raw" / file).read_bytes(), file
    raw, calibrated = scores_of(tmp_path / "raw"), scores_of(tmp_path / "calibrated")
    assert len(raw) > 3
    np.testing.assert_allclose(calibrated, ScoreCalibration(1.7, -1.5)(raw), atol=1e-3)
