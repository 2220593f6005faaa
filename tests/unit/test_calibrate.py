"""The calibration of the bundles is fitted to validation images alone, and written where configs are rendered from."""

import csv
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from scipy.special import expit, logit
from training_records import write_record

from medseg_ext.errors import DataError
from medseg_ext.pages.marked_parts import CLOSING, OPENING

TOOL = Path(__file__).parents[2] / "tools" / "calibrate.py"
BUNDLES = ("cells_one", "cells_two")
RAW = {"score_temperature": 1.0, "score_bias": 0.0}


@pytest.fixture(scope="module")
def tool():
    specification = importlib.util.spec_from_file_location("calibrate", TOOL)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def write_evaluation(folder, *, slope, bias, settings=RAW):
    """An evaluation of 20 images, of which the last has no objects, that are right as often as a map says."""
    folder.mkdir(parents=True)
    write_record(folder, workflow="evaluate", settings=settings)
    rng = np.random.default_rng(len(str(folder)))
    images = [f"i{number}" for number in range(20)]
    with (folder / "metrics_per_image.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "group"], *([name, ""] for name in images)])
    scores = expit(rng.normal(2, 1, (19, 50)))
    right = rng.random(scores.shape) < expit(slope * logit(scores) + bias)
    rows = [
        [images[i], j + 1, f"{scores[i, j]:.6f}", int(right[i, j])] for i in range(19) for j in range(scores.shape[1])
    ]
    with (folder / "object_scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image", "object", "score", "right"], *rows])


@pytest.fixture
def project(tmp_path):
    """A root of two bundles, one with a fragment of its own, and evaluations of them."""
    for bundle in BUNDLES:
        (tmp_path / "bundles" / bundle / "configs").mkdir(parents=True)
        (tmp_path / "bundles" / bundle / "configs" / "metadata.json").touch()
        for part in ("validation", "testing", "elsewhere"):
            slope, bias = (0.5, -2.0) if part == "elsewhere" else (0.8, -0.6)
            write_evaluation(tmp_path / "runs" / part / bundle, slope=slope, bias=bias)
    pairs = tmp_path / "bundles" / "_base" / "pairs"
    pairs.mkdir(parents=True)
    (pairs / "cells+one.yaml").write_text("# Why.\n\ncommon:\n  decoder#score_threshold: 0.5  # tuned\n")
    (tmp_path / "docs").mkdir()
    parts = "".join(f"{OPENING.format(name)}\n{CLOSING}\n" for name in ("calibration", "unseen", "thresholds"))
    (tmp_path / "docs" / "calibration.md").write_text(parts)
    return tmp_path


def test_what_is_fitted_goes_into_fragments_and_the_page_and_again_gives_the_same(tool, project):
    fitted = tool.calibrate(project, project / "runs")
    files = [project / "docs" / "calibration.md", *sorted((project / "bundles" / "_base" / "pairs").iterdir())]
    before = [file.read_text() for file in files]
    for number, bundle in enumerate(BUNDLES):
        content = yaml.safe_load(before[1 + number])
        expected = {"score_temperature": fitted[bundle].temperature, "score_bias": fitted[bundle].bias}
        assert content["evaluate"] == content["inference"] == expected
        assert fitted[bundle].temperature == pytest.approx(1 / 0.8, abs=0.35)
        assert fitted[bundle].bias < -0.2
    assert before[1].startswith("# Why.\n\ncommon:\n  decoder#score_threshold: 0.5  # tuned\n\nevaluate:")
    assert tool.calibrate(project, project / "runs") == fitted
    assert [file.read_text() for file in files] == before


def test_test_images_take_no_part_in_the_fit(tool, project):
    fitted = tool.calibrate(project, project / "runs")
    for bundle in BUNDLES:
        shutil.rmtree(project / "runs" / "testing" / bundle)
        write_evaluation(project / "runs" / "testing" / bundle, slope=0.1, bias=3)
    assert tool.calibrate(project, project / "runs") == fitted


def test_evaluations_of_calibrated_scores_are_refused(tool, project):
    record = project / "runs" / "testing" / BUNDLES[1] / "provenance_evaluate.json"
    content = json.loads(record.read_text())
    content["settings"]["score_bias"] = -0.5
    record.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"testing/cells_two: its scores are calibrated; remove it, and run"):
        tool.calibrate(project, project / "runs")


def test_a_bundle_without_evaluations_keeps_its_rows_and_its_fragment(tool, project):
    tool.calibrate(project, project / "runs")
    files = [project / "docs" / "calibration.md", *sorted((project / "bundles" / "_base" / "pairs").iterdir())]
    before = [file.read_text() for file in files]
    for part in ("validation", "testing", "elsewhere"):
        shutil.rmtree(project / "runs" / part / BUNDLES[0])
    assert list(tool.calibrate(project, project / "runs")) == [BUNDLES[1]]
    assert [file.read_text() for file in files] == before
    shutil.rmtree(project / "runs" / "validation")
    with pytest.raises(DataError, match="validation has no evaluations of bundles; run"):
        tool.calibrate(project, project / "runs")
