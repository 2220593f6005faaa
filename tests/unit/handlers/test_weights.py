import pytest
import torch
from ignite.engine import Engine
from torch import nn

from medseg_ext.data.errors import DataError
from medseg_ext.handlers import WeightsLoader


def network(channels: int = 4, classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, channels, 1), nn.BatchNorm2d(channels), nn.Conv2d(channels, classes, 1))


def load(path, target: nn.Module) -> None:
    WeightsLoader(str(path), {"model": target}, map_location="cpu")(Engine(lambda *_: None))


@pytest.mark.parametrize("nested", [False, True])
def test_weights_in_half_precision_are_loaded(tmp_path, nested):
    source, target = network(), network()
    half = {name: value.half() if value.is_floating_point() else value for name, value in source.state_dict().items()}
    torch.save({"model": half} if nested else half, tmp_path / "model.pt")
    load(tmp_path / "model.pt", target)
    for name, value in target.state_dict().items():
        assert value.dtype == source.state_dict()[name].dtype
        torch.testing.assert_close(value, half[name].to(value.dtype))


def test_another_number_of_classes_is_named(tmp_path):
    torch.save(network(classes=4).state_dict(), tmp_path / "model.pt")
    target = network(classes=3)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(
        DataError, match=r"model.pt: .*another number of classes.*2.weight has the shape \(4, 4, 1, 1\)"
    ):
        load(tmp_path / "model.pt", target)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_another_architecture_is_named(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"another architecture.*lacks 9 of its 9 weights.*has 2 that it does not have"):
        load(tmp_path / "model.pt", network())


@pytest.mark.parametrize(
    "content", [b"", b"PK not weights", b"no weights at all", b"hello world\n", b"]a", b"\x80\x02."]
)
def test_a_file_without_weights_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"model.pt: holds no weights.*--ckpt_path"):
        load(path, network())


def test_the_state_of_a_training_is_named(tmp_path):
    torch.save({"network": network().state_dict(), "optimizer": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match=r"checkpoint.pt: is the state of a training; give model.pt"):
        load(tmp_path / "checkpoint.pt", network())


@pytest.mark.parametrize("content", [[1, 2], {"model": None}])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(DataError, match="another architecture"):
        load(tmp_path / "model.pt", network())


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(DataError, match=r"absent.pt: there are no weights; give --ckpt_path"):
        load(tmp_path / "absent.pt", network())
