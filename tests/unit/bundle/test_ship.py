import json

import pytest
import torch
from monai.apps.utils import HashCheckError
from monai.bundle import download_large_files

from medseg_ext.bundle.ship import ship_weights, to_half_precision, write_large_files
from medseg_ext.cli.main import main
from medseg_ext.errors import DataError


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
    ship_weights(tmp_path / "model.pt", bundle)
    shipped = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert shipped["weight"].dtype == torch.float16
    assert shipped["num_batches_tracked"].dtype == torch.int64
    fresh = torch.nn.BatchNorm2d(4)
    fresh.load_state_dict(shipped)
    torch.testing.assert_close(fresh.weight, network.weight, rtol=1e-3, atol=0)


def test_weights_of_another_network_are_refused_and_nothing_is_written(bundle, tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"model\.pt: .*another architecture.*; give the model\.pt"):
        ship_weights(tmp_path / "model.pt", bundle)
    assert not (bundle / "models" / "model.pt").exists()


def test_values_beyond_float16_are_refused_by_name():
    with pytest.raises(ValueError, match="running_var"):
        to_half_precision({"running_var": torch.tensor([1e6])})


def test_the_state_of_a_training_is_no_weights(bundle, tmp_path):
    torch.save({"network": {}, "optimizer": {}, "trainer": {"epoch": 3}}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match=r"checkpoint\.pt: is the state of a training; give model\.pt beside it"):
        ship_weights(tmp_path / "checkpoint.pt", bundle)


def test_monai_takes_the_shipped_weights_and_refuses_them_with_a_byte_changed(bundle, tmp_path):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    ship_weights(tmp_path / "model.pt", bundle)
    download_large_files(str(bundle))
    content = bytearray((bundle / "models" / "model.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "models" / "model.pt").write_bytes(content)
    with pytest.raises(HashCheckError, match=r"model\.pt"):
        download_large_files(str(bundle))


def test_a_bundle_without_weights_has_no_hash(bundle):
    with pytest.raises(DataError, match=r"model\.pt"):
        write_large_files(bundle)
    assert not (bundle / "large_files.yml").exists()


@pytest.mark.parametrize("content", [None, b"", b"no weights at all", b"PK not weights"])
def test_what_cannot_be_read_ends_in_one_line_that_names_the_file_and_the_remedy(bundle, tmp_path, capsys, content):
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    assert main(["ship", str(path), str(bundle)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}: ")
    assert error.endswith("; give the model.pt of the output_dir of a training of this bundle\n")
    assert not (bundle / "models").exists()


@pytest.mark.parametrize("present", [["iou_curve.csv", "iou_curve.png"], ["iou_curve.csv"], []])
def test_the_curve_in_docs_is_that_of_the_shipped_weights_or_none(bundle, tmp_path, capsys, present):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    docs = bundle / "docs"
    docs.mkdir()
    for name in ("iou_curve.csv", "iou_curve.png", "README.md"):
        (docs / name).write_text("older")
    for name in present:
        (tmp_path / name).write_text("own")
    assert main(["ship", str(tmp_path / "model.pt"), str(bundle)]) == 0
    assert {path.name: path.read_text() for path in docs.iterdir()} == {
        "README.md": "older",
        **dict.fromkeys(present, "own"),
    }
    lines = capsys.readouterr().out.splitlines()
    written = [bundle / "models" / "model.pt", bundle / "large_files.yml", *(docs / name for name in present)]
    assert lines[: len(written)] == [str(path) for path in written]
    removed = [name for name in ("iou_curve.csv", "iou_curve.png") if name not in present]
    assert [line.partition(", ")[0] for line in lines[len(written) :]] == [
        f"{docs / name}: removed" for name in removed
    ]


@pytest.mark.parametrize("is_there", [True, False])
def test_what_is_known_of_the_training_images_is_that_of_the_shipped_weights_or_none(bundle, tmp_path, is_there):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    (bundle / "models").mkdir()
    shipped = bundle / "models" / "training_images.json"
    shipped.write_text("older")
    if is_there:
        (tmp_path / "training_images.json").write_text("own")
    ship_weights(tmp_path / "model.pt", bundle)
    assert (shipped.read_text() if shipped.is_file() else None) == ("own" if is_there else None)


def test_the_weights_that_a_bundle_has_are_refused_and_its_curve_stays(bundle, tmp_path):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    (tmp_path / "iou_curve.csv").write_text("epoch")
    ship_weights(tmp_path / "model.pt", bundle)
    with pytest.raises(DataError, match="is what the bundle has already"):
        ship_weights(bundle / "models" / "model.pt", bundle)
    assert (bundle / "docs" / "iou_curve.csv").is_file()
