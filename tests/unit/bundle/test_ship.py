import json

import pytest
import torch

from medseg_ext.bundle.ship import ship_weights, to_half_precision


@pytest.fixture
def bundle(tmp_path):
    configs = tmp_path / "bundle" / "configs"
    configs.mkdir(parents=True)
    network = {"_target_": "torch.nn.BatchNorm2d", "num_features": 4}
    (configs / "inference.json").write_text(json.dumps({"network_def": network}))
    return tmp_path / "bundle"


def test_shipped_weights_are_half_as_large_and_load_as_before(bundle, tmp_path):
    network = torch.nn.BatchNorm2d(4)
    torch.nn.init.normal_(network.weight)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    shipped = torch.load(ship_weights(tmp_path / "model.pt", bundle), weights_only=True)
    assert shipped["weight"].dtype == torch.float16
    assert shipped["num_batches_tracked"].dtype == torch.int64
    fresh = torch.nn.BatchNorm2d(4)
    fresh.load_state_dict(shipped)
    torch.testing.assert_close(fresh.weight, network.weight, rtol=1e-3, atol=0)


def test_weights_of_another_network_are_refused_and_nothing_is_written(bundle, tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    with pytest.raises(RuntimeError, match="BatchNorm2d"):
        ship_weights(tmp_path / "model.pt", bundle)
    assert not (bundle / "models" / "model.pt").exists()


def test_values_beyond_float16_are_refused_by_name():
    with pytest.raises(ValueError, match="running_var"):
        to_half_precision({"running_var": torch.tensor([1e6])})


def test_the_state_of_a_training_is_no_weights(bundle, tmp_path):
    torch.save({"network": {}, "trainer": {"epoch": 3}}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt.*give the model\.pt"):
        ship_weights(tmp_path / "checkpoint.pt", bundle)
