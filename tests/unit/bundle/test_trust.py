"""Nothing of a bundle from elsewhere is run before what it names was looked at, whichever command opens it."""

import json
import shutil
import zipfile

import pytest
import torch
from bundle_settings import QUICK, ROOT
from monai.data import save_net_with_metadata
from PIL import Image

from medseg_ext.bundle.exported_bundle import read_exported_bundle
from medseg_ext.bundle.segmentation import segment
from medseg_ext.bundle.settings import settle
from medseg_ext.bundle.trust import trusting
from medseg_ext.bundle.values import OverrideError
from medseg_ext.cli.main import main
from medseg_ext.errors import DataError
from medseg_ext.runs.provenance import provenance_file

UNET = ROOT / "bundles" / "dsb2018_unet"
CONFIGS = ("train", "evaluate", "inference")


@pytest.fixture
def foreign(tmp_path):
    """A copy of a bundle whose network runs a command; what it makes tells that it ran."""
    bundle = shutil.copytree(UNET, tmp_path / "foreign", copy_function=shutil.copy)
    for name in CONFIGS:
        file = bundle / "configs" / f"{name}.json"
        content = json.loads(file.read_text())
        content["network_def"]["_requires_"] = [f"$os.system('touch {tmp_path / 'ran'}')"]
        file.write_text(json.dumps(content))
    return bundle


@pytest.fixture
def images(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "images" / "a.png")
    return tmp_path / "images"


COMMANDS = {
    "train": "train --bundle BUNDLE --data DATA --output OUT",
    "evaluate": "evaluate --bundle BUNDLE --data DATA --output OUT",
    "segment": "segment IMAGES --bundle BUNDLE --output OUT",
    "segment with workers": "segment IMAGES --bundle BUNDLE --output OUT --workers 1",
    "ship": f"ship {UNET}/models/model.pt BUNDLE",
    "export": "export BUNDLE --output OUT",
    "verify": "verify BUNDLE",
    "verify with images": f"verify BUNDLE --images {ROOT}",
    "pack": "pack BUNDLE --data DATA --output OUT",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_each_command_refuses_a_bundle_that_runs_commands(command, foreign, images, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("medseg_ext.datasets.data_set_folder.load_datalist", lambda *_: [{"image": "a.png"}])
    (tmp_path / "data").mkdir()
    item = {"id": "a", "image": "a.png", "instances": "a.png", "classes": "a.png"}
    sections = {section: [item] for section in ("training", "validation", "testing")}
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(sections))
    places = {"BUNDLE": foreign, "DATA": tmp_path / "data", "OUT": tmp_path / "out", "IMAGES": images}
    assert main([str(places.get(word, word)) for word in command.split()]) == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error: ")]
    assert f'{foreign}/configs/evaluate.json: network_def#_requires_#0 "$os.system(' in line
    assert f"look at all with `medseg inspect {foreign}`, or give --trust if it is yours" in line
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_it_is_run_where_the_person_says_so(foreign, tmp_path, capsys):
    assert main(["ship", str(shutil.copy(UNET / "models" / "model.pt", tmp_path)), str(foreign), "--trust"]) == 0
    assert (tmp_path / "ran").exists()
    assert main(["ship", str(tmp_path / "model.pt"), str(foreign)]) == 2  # which does not outlast the command


def test_python_may_trust_as_well(foreign, images, tmp_path):
    with pytest.raises(DataError, match=r"configs/evaluate\.json: network_def#_requires_#0"):
        segment([images], foreign, tmp_path / "out", overrides={})
    with trusting():
        segment([images], foreign, tmp_path / "out", overrides=QUICK | {"object_diameter_px": 20})
    assert (tmp_path / "ran").exists()


def test_own_words_on_the_command_line_are_trusted(images, tmp_path):
    words = [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]
    own = ["--object_diameter_px", "20", "--decoder#min_area_px", "$0 * len(str(__import__('os').getcwd()))"]
    assert main(["segment", str(images), "--bundle", str(UNET), "--output", str(tmp_path / "out"), *words, *own]) == 0


@pytest.fixture
def record(images, tmp_path):
    """The record of a run, and the file that it stands in."""
    segment([images], UNET, tmp_path / "run", overrides=QUICK | {"object_diameter_px": 20, "decoder#min_area_px": 9})
    file = provenance_file(tmp_path / "run", "inference")
    return json.loads(file.read_text()), file


EVIL = "$__import__('os').system('touch RAN')"
RECORDS = {
    "a part that was given": ("given", {"decoder#min_area_px": EVIL}),
    "a part of several levels": ("given", {"decoder": {"_target_": "os.system", "command": "touch RAN"}}),
    "a setting": ("settings", {"network_def": {"_target_": "os.system", "command": "touch RAN"}}),
}


@pytest.mark.parametrize(("part", "values"), RECORDS.values(), ids=RECORDS)
def test_values_of_a_record_are_nobody_elses_words(part, values, record, tmp_path, capsys):
    content, file = record
    content[part] |= json.loads(json.dumps(values).replace("RAN", str(tmp_path / "ran")))
    file.write_text(json.dumps(content))
    assert main(["rerun", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert f"{file}: {next(iter(values))}" in error
    assert "--trust" in error
    assert not (tmp_path / "ran").exists()


def test_a_run_with_parts_that_are_harmless_is_repeated(record, tmp_path):
    assert main(["rerun", str(tmp_path / "run")]) == 0


def test_a_scheduler_of_a_record_is_not_connected_to(record, tmp_path, capsys):
    content, file = record
    content["workers"] = {"workers": None, "scheduler": "tcp://127.0.0.1:1"}
    file.write_text(json.dumps(content))
    assert main(["rerun", str(tmp_path / "run")]) == 2
    assert "the Dask scheduler tcp://127.0.0.1:1, which may have this process run code" in capsys.readouterr().err


@pytest.fixture
def script(tmp_path):
    """TorchScript whose embedded config runs a command."""
    config = {"imports": ["$import os"], "device": f"$os.system('touch {tmp_path / 'ran'}')", "preprocessing": []}
    network = torch.jit.script(torch.nn.Identity())
    save_net_with_metadata(
        network, str(tmp_path / "model"), more_extra_files={"inference.json": json.dumps(config).encode()}
    )
    return tmp_path / "model.ts"


def test_expressions_inside_torchscript_are_not_run(script, tmp_path, capsys):
    with pytest.raises(DataError, match=r"model.ts: device \"\$os.system\(.*--trust"):
        read_exported_bundle(script)
    assert not (tmp_path / "ran").exists()
    assert main(["inspect", str(script)]) == 1
    shown = capsys.readouterr().out
    assert "NO  device" in shown
    assert "TorchScript is code" in shown


def test_torchscript_given_as_weights_is_said_to_be_code(script, images, tmp_path, capsys):
    words = ["--output", str(tmp_path / "out"), "--ckpt_path", str(script), "--object_diameter_px", "20"]
    assert main(["segment", str(images), "--bundle", str(UNET), *words]) == 2
    assert f"{script}: is TorchScript, which is code and no weights" in capsys.readouterr().err


def test_a_bundle_with_torchscript_passes_and_is_said_to_hold_code(script, tmp_path, capsys):
    bundle = shutil.copytree(UNET, tmp_path / "exported", copy_function=shutil.copy)
    with zipfile.ZipFile(script) as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if not name.endswith("inference.json")}
    with zipfile.ZipFile(bundle / "models" / "model.ts", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert main(["inspect", str(bundle)]) == 0
    assert "TorchScript is code: PyTorch runs it where it is loaded" in capsys.readouterr().out


def test_settings_cannot_take_the_place_of_what_was_looked_at():
    with pytest.raises(OverrideError, match="x::_target_: expected a key of the config itself"):
        settle({"x::_target_": "os.system"}, schemas={"x::_target_": {"type": "string"}}, resolved={})
