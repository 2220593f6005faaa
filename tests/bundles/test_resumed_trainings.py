"""A training that is interrupted and resumed is the one that was not."""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from bundle_settings import ONE_OF_EACH_WORKFLOW, QUICK

from medseg_ext.bundle.workflow import run_workflow
from medseg_ext.handlers.seeded_epochs import SeededEpochs

STEPS = 3  # an epoch has
# Detectors take longer.
BUNDLES = [
    pytest.param(bundle, marks=pytest.mark.slow if bundle.name.endswith("mask_rcnn") else (), id=bundle.name)
    for bundle in ONE_OF_EACH_WORKFLOW
]


class InterruptionError(Exception):
    """Stands for whatever ends a training."""


def train(bundle, dataset_dir, output_dir, *, last_step: int | None = None, **keys: object) -> list[object]:
    """Train for three epochs, or up to a step; returns the states of the random number generators."""
    start_step = SeededEpochs.start_step

    def start_or_stop(self, engine):
        if engine.state.iteration == last_step:
            raise InterruptionError
        start_step(self, engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SeededEpochs, "start_step", start_or_stop)
        settings = {**QUICK, "max_epochs": 3, "val_interval": 1, "ema_momentum": 0.5, "cache_rate": 0.5, **keys}
        settings["ckpt_path"] = bundle / "models" / "model.pt"
        run_workflow(bundle, "train", {"dataset_dir": dataset_dir, "output_dir": output_dir, **settings})
    return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]


def assert_equal(one: object, other: object) -> None:
    """Compare what a checkpoint holds, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            assert_equal(first, second)
    else:
        assert one == other or (one != one and other != other)  # NaN


@pytest.mark.parametrize("bundle", BUNDLES)
def test_a_resumed_training_is_the_uninterrupted_one_to_the_last_bit(bundle, sample_data_sets, tmp_path, caplog):
    """It goes on in a folder that was moved meanwhile, with a copy of the data, and other numbers of workers."""
    if bundle.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    data = sample_data_sets[bundle.name.partition("_")[0]]
    whole, parts = tmp_path / "whole", tmp_path / "moved" / "parts #2"
    random_states = train(bundle, data, whole)
    with pytest.raises(RuntimeError, match="InterruptionError"):
        train(bundle, data, tmp_path / "begun", last_step=STEPS + 2, num_workers=2)
    parts.parent.mkdir()
    (tmp_path / "begun").rename(parts)
    data = shutil.copytree(data, tmp_path / "data")
    with caplog.at_level("WARNING", "medseg_ext"):
        assert train(bundle, data, parts, resume=True, num_workers=1) == random_states
    assert "resumed with another" not in caplog.text
    (begun,) = json.loads((parts / "provenance_train.json").read_text())["earlier"]
    assert begun["settings"]["output_dir"] == str(tmp_path / "begun")
    for name in ("checkpoint.pt", "model.pt"):
        assert_equal(*(torch.load(folder / name, weights_only=True) for folder in (whole, parts)))
    assert (parts / "iou_curve.csv").read_bytes() == (whole / "iou_curve.csv").read_bytes()
    assert len((whole / "iou_curve.csv").read_text().splitlines()) == 1 + 4  # the start is validated, once
