"""A training that runs away stops at once, and leaves no weights of it."""

import json
import re

import pytest
import torch
from bundle_settings import QUICK

from medseg_ext.bundle.workflow import run_workflow
from medseg_ext.errors import DivergenceError
from medseg_ext.networks.weights import find_not_finite

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("batch_size", [2, 6])
def test_a_runaway_stops_with_the_images_of_the_batch(batch_size, a_bundle, dataset_dir, tmp_path):
    """In its second step, or, where an epoch has only one, in the validation or the next epoch."""
    keys = {**QUICK, "batch_size": batch_size, "max_epochs": 3, "val_interval": 1, "learning_rate": 1e30}
    with pytest.raises(DivergenceError, match=r"^the training diverges: .*") as caught:
        run_workflow(a_bundle, "train", {"dataset_dir": dataset_dir, "output_dir": tmp_path, **keys})
    named = re.search(r"with the images (.*): give a --learning_rate below 1e\+30", str(caught.value))[1].split(", ")
    training = {item["id"] for item in json.loads((dataset_dir / "dataset.json").read_text())["training"]}
    assert set(named) <= training
    assert len(named) == batch_size
    assert not (tmp_path / "model.pt").exists()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["trainer"]["iteration"] == 0
    assert not find_not_finite(state)
