"""A training on data of one's own, from the shipped weights to a bundle of its own."""

import csv
import json
import shutil

import pytest
import torch
from bundle_settings import NETWORKS, QUICK_WORDS, UNET

from medseg_ext.cli.main import main

SHORT = [*QUICK_WORDS, "--crops_per_image", "1", "--max_epochs", "2", "--val_interval", "1"]


def medseg(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def is_shipped(bundle, weights) -> bool:
    one, other = (torch.load(file, weights_only=True) for file in (bundle / "models" / "model.pt", weights))
    return all(torch.equal(one[name].to(value.dtype), value) for name, value in other.items())


@pytest.mark.parametrize("bundle", NETWORKS)
def test_a_fine_tuning_that_does_not_help_ends_with_the_start_and_says_so(bundle, sample_data_sets, tmp_path, capsys):
    if bundle.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    data = sample_data_sets["dsb2018"]
    medseg("train", "--bundle", bundle, "--data", data, "--output", tmp_path, *SHORT, "--learning_rate", 0.03)
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("result   the weights that the training started from were the best on the validation images")
    assert is_shipped(bundle, tmp_path / "model.pt")
    rows = list(csv.DictReader((tmp_path / "iou_curve.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2"]
    assert max(rows, key=lambda row: float(row["validation_pq"]))["epoch"] == "0"


def test_other_classes_are_learnt_scored_found_and_shipped(sample_data_sets, tmp_path, capsys):
    """The bundle of nuclei learns cytoplasm and nucleus of cells, and becomes a bundle that finds both."""
    data, run, names = sample_data_sets["segpc2021"], tmp_path / "run", ["background", "cytoplasm", "nucleus"]
    bundle = shutil.copytree(UNET, tmp_path / "cells")
    medseg("train", "--bundle", bundle, "--data", data, "--output", run, *SHORT)
    weights = ("--bundle", bundle, "--ckpt_path", run / "model.pt", *QUICK_WORDS)
    images = sorted((data / "images").iterdir())[:2]
    medseg("evaluate", "--data", data, "--output", tmp_path / "evaluation", *weights)
    medseg("segment", *images, "--output", tmp_path / "objects", *weights)
    assert "class_iou_cytoplasm" in json.loads((tmp_path / "evaluation" / "metrics.json").read_text())["metrics"]
    medseg("ship", run / "model.pt", bundle, "--evaluation", tmp_path / "evaluation")
    for config in ("train", "evaluate", "inference"):
        assert json.loads((bundle / "configs" / f"{config}.json").read_text())["class_names"] == names
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    pred = metadata["network_data_format"]["outputs"]["pred"]
    assert pred["num_channels"] == 4
    assert list(pred["channel_def"].values()) == [*names, "centre distance of nuclei"]
    medseg("segment", *images, "--bundle", bundle, "--output", tmp_path / "again", *QUICK_WORDS)
    assert (tmp_path / "again" / "summary.csv").is_file()
    card = (bundle / "docs" / "README.md").read_text()
    assert "Not measured" not in card
    assert "| `class_iou_cytoplasm` |" in card
