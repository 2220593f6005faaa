import logging

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from medseg_ext.errors import DataError
from medseg_ext.handlers.weights_loader import WeightsLoader


@pytest.fixture(autouse=True)
def log(monkeypatch):
    """Let the log speak: bundles' logging.conf, which other tests read, silences loggers that are there before."""
    monkeypatch.setattr(logging.getLogger("medseg_ext.handlers.weights_loader"), "disabled", False)


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


@pytest.mark.parametrize("classes", [2, 5])
def test_a_training_keeps_all_but_the_last_layer_of_weights_for_other_classes_and_says_so(tmp_path, caplog, classes):
    source, target = network(classes=4), network(classes=classes)
    torch.save(source.state_dict(), tmp_path / "model.pt")
    own = {name: value.clone() for name, value in target.state_dict().items()}
    loader = WeightsLoader(str(tmp_path / "model.pt"), {"model": target}, map_location="cpu", own_last_layer=True)
    with caplog.at_level("INFO", "medseg_ext"):
        loader.load()
    for name, value in target.state_dict().items():
        assert torch.equal(value, (own if name.startswith("2.") else source.state_dict())[name])
    assert "all its weights are kept but those of the last layer (2), which learns anew" in caplog.text


def test_a_training_does_not_take_weights_of_another_width(tmp_path):
    torch.save(network(channels=8, classes=4).state_dict(), tmp_path / "model.pt")
    loader = WeightsLoader(str(tmp_path / "model.pt"), {"model": network()}, map_location="cpu", own_last_layer=True)
    with pytest.raises(DataError, match="another width"):
        loader.load()


def test_another_architecture_is_named(tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"another architecture.*lacks 9 of its 9 weights.*has 2 that it does not have"):
        load(tmp_path / "model.pt", network())


def test_a_weight_too_few_or_too_many_is_named(tmp_path):
    state = network().state_dict()
    torch.save({**state, "3.weight": torch.zeros(1)}, tmp_path / "more.pt")
    with pytest.raises(DataError, match=r"has 1 that it does not have, such as 3\.weight"):
        load(tmp_path / "more.pt", network())
    torch.save({name: value for name, value in state.items() if name != "2.bias"}, tmp_path / "fewer.pt")
    with pytest.raises(DataError, match=r"lacks 1 of its 9 weights, such as 2\.bias"):
        load(tmp_path / "fewer.pt", network())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path, value):
    state = network().state_dict()
    state["1.running_var"][2] = value
    torch.save(state, tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"model\.pt: 1\.running_var holds values that are not finite"):
        load(tmp_path / "model.pt", network())


@pytest.mark.parametrize("place", [0.3, 0.5, 0.9])
def test_damaged_weights_are_refused(tmp_path, place):
    """4 KB of noise in the middle of numbers, which PyTorch loads."""
    torch.save(network(channels=20_000).state_dict(), tmp_path / "model.pt")
    content = bytearray((tmp_path / "model.pt").read_bytes())
    start = int(place * len(content))
    content[start : start + 4096] = torch.randint(256, (4096,)).to(torch.uint8).numpy().tobytes()
    (tmp_path / "model.pt").write_bytes(content)
    torch.load(tmp_path / "model.pt", weights_only=True)
    with pytest.raises(
        DataError, match=r"model\.pt: is damaged, model/data/\d is not what was saved; give --ckpt_path"
    ):
        load(tmp_path / "model.pt", network(channels=20_000))


@pytest.mark.parametrize("share", [0.1, 0.6, 0.99])
def test_weights_that_are_cut_short_are_refused(tmp_path, share):
    torch.save(network().state_dict(), tmp_path / "model.pt")
    content = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"model\.pt: holds no weights that can be loaded"):
        load(tmp_path / "model.pt", network())


@pytest.mark.parametrize("form", ["without checksums", "before 1.6"])
def test_weights_that_were_saved_without_checksums_are_loaded(tmp_path, form):
    source, target = network(), network()
    torch.serialization.set_crc32_options(form != "without checksums")
    torch.save(source.state_dict(), tmp_path / "model.pt", _use_new_zipfile_serialization=form != "before 1.6")
    torch.serialization.set_crc32_options(True)
    load(tmp_path / "model.pt", target)
    torch.testing.assert_close(target.state_dict(), source.state_dict())


class Touch:
    """What a pickle of it does when it is loaded: it makes a file."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return self.path.touch, ()


def test_a_file_that_would_run_code_is_not_run(tmp_path):
    torch.save({"model": Touch(tmp_path / "touched")}, tmp_path / "model.pt")
    with pytest.raises(DataError, match="holds no weights that can be loaded safely"):
        load(tmp_path / "model.pt", network())
    assert not (tmp_path / "touched").exists()


def test_weights_go_into_a_network_wrapped_for_several_processes(tmp_path):
    source, target = network(), network()
    torch.save(source.state_dict(), tmp_path / "model.pt")
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    try:
        load(tmp_path / "model.pt", nn.parallel.DistributedDataParallel(target))
    finally:
        torch.distributed.destroy_process_group()
    torch.testing.assert_close(target.state_dict(), source.state_dict())


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
    with pytest.raises(DataError, match=r"absent.pt does not exist; give --ckpt_path"):
        load(tmp_path / "absent.pt", network())
