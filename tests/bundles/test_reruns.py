"""A run's folder tells what it was made with, and `medseg rerun` repeats it."""

import json
import os
import shutil

import pytest
import torch
from bundle_runs import EVALUATE, INFERENCE, quick, run_bundle
from bundle_settings import ROOT

from medseg_ext.bundle.segmentation import segment
from medseg_ext.cli.main import main

UNET = ROOT / "bundles" / "dsb2018_unet"
TITLE = "Plate #2, 40 % @ noon: $5"


@pytest.fixture
def here(sample_data_sets, tmp_path, monkeypatch):
    """A working directory with a data set of which the name needs quotes."""
    folder = tmp_path / "my runs"
    shutil.copytree(sample_data_sets["dsb2018"], folder / "data #2")
    monkeypatch.chdir(folder)
    return folder


def record_of(folder, workflow: str) -> dict:
    return json.loads((folder / f"provenance_{workflow}.json").read_text())


def contents(folder) -> dict[str, bytes]:
    """Read what a run has written, but for its record; pages and tables name data and weights as they were given."""
    return {
        str(path.relative_to(folder)): path.read_bytes().replace(f"{folder.parent}/".encode(), b"")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(("provenance_", "events.out", "."))
    }


def test_a_training_is_repeated_to_the_last_bit_from_any_directory(here, tmp_path, monkeypatch, capsys):
    words = ["train", "--bundle", str(UNET), "--data", "data #2", "--output", "run 1", *quick(max_epochs=2)]
    words += ["--learning_rate", "0.002", "--optimizer#weight_decay", "0.5", "--seed", "3", "--title", TITLE]
    assert main([*words, "--ckpt_path", os.path.relpath(UNET / "models" / "model.pt")]) == 0
    record = record_of(here / "run 1", "train")
    settings = record["settings"]
    assert (record["seed"], settings["learning_rate"], settings["title"]) == (3, 0.002, TITLE)
    assert record["given"]["optimizer#weight_decay"] == 0.5
    assert settings["working_diameter_px"] == 23  # the config's own
    assert settings["dataset_dir"] == str(here / "data #2")
    monkeypatch.chdir(tmp_path)
    assert main(["rerun", "my runs/run 1"]) == 0
    assert "not as it was" not in capsys.readouterr().err
    again = here / "run 1_rerun"
    assert (again / "iou_curve.csv").read_bytes() == (here / "run 1" / "iou_curve.csv").read_bytes()
    for name in ("model.pt", "checkpoint.pt"):
        one, other = (torch.load(folder / name, weights_only=True) for folder in (here / "run 1", again))
        torch.testing.assert_close(dict(one.get("network", one)), dict(other.get("network", other)), rtol=0, atol=0)
    repeated = record_of(again, "train")["settings"]
    assert {key for key in settings if settings[key] != repeated[key]} == {"output_dir"}
    other = ["--learning_rate", "0.004", "--max_epochs", "1", "--output", "another"]
    assert main(["rerun", str(again), *other]) == 0
    changed = record_of(tmp_path / "another", "train")["settings"]
    assert (changed["learning_rate"], changed["max_epochs"], changed["title"]) == (0.004, 1, TITLE)


@pytest.mark.slow
def test_an_evaluation_by_monais_command_line_is_repeated(here, tmp_path, monkeypatch, capsys):
    weights = shutil.copyfile(UNET / "models" / "model.pt", here / "weights.pt")
    result = run_bundle(
        "evaluate", "--config_file", UNET / EVALUATE, "--dataset_dir", "data #2", "--ckpt_path", "weights.pt",
        "--output_dir", "run", "--decoder#min_area_px", 99, "--title", TITLE, *quick(), cwd=here,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    record = record_of(here / "run", "evaluate")
    assert record["settings"]["title"] == TITLE
    assert (record["data_set"]["path"], record["weights"]["path"]) == (
        str(here / "data #2" / "dataset.json"),
        str(weights),
    )
    assert record["given"]["decoder#min_area_px"] == 99
    monkeypatch.chdir(tmp_path)
    assert main(["rerun", str(here / "run")]) == 0
    assert contents(here / "run_rerun") == contents(here / "run")
    assert "not as it was" not in capsys.readouterr().err
    (here / "data #2" / "dataset.json").write_text((here / "data #2" / "dataset.json").read_text() + "\n")
    weights.unlink()
    assert main(["rerun", str(here / "run"), "--output", "again"]) == 2
    told = capsys.readouterr().err
    assert f"not as it was: data set: {here / 'data #2' / 'dataset.json'} is another" in told
    assert f"not as it was: weights: {weights} is gone" in told


@pytest.mark.parametrize("way", ["serial", "monai", pytest.param("workers", marks=pytest.mark.slow)])
def test_a_segmentation_is_repeated_however_it_was_made(way, here, tmp_path, monkeypatch):
    images = sorted((here / "data #2" / "images").iterdir())[:2]
    (here / "plate #1").mkdir()
    for image in images:
        image.rename(here / "plate #1" / image.name)
    keys = ["--decoder#min_area_px", "40", "--device", "cpu", "--title", TITLE]
    if way == "monai":
        run = ["--dataset_dir", "plate #1", "--output_dir", "run", "--num_workers", "0"]
        result = run_bundle("inference", "--config_file", UNET / INFERENCE, *run, *keys, cwd=here)
        assert result.returncode == 0, result.stderr[-3000:]
    else:
        workers = ["--workers", "1"] if way == "workers" else ["--num_workers", "0"]
        if workers[0] == "--workers":
            pytest.importorskip("distributed")
        assert main(["segment", "plate #1", "--bundle", str(UNET), "--output", "run", *workers, *keys]) == 0
    record = record_of(here / "run", "inference")
    assert record["settings"]["title"] == TITLE
    assert record["given"]["decoder#min_area_px"] == 40
    monkeypatch.chdir(tmp_path)
    assert main(["rerun", str(here / "run")]) == 0
    assert record_of(here / "run_rerun", "inference")["workers"] == record["workers"]
    again = contents(here / "run_rerun")
    if way == "monai":
        del again["gallery.html"]
    assert again == contents(here / "run")


def test_a_segmentation_from_python_is_told_too(here):
    image = min((here / "data #2" / "images").iterdir())
    segment([image.relative_to(here)], UNET, here / "run", overrides={"num_workers": 0, "decoder#min_area_px": 40})
    record = record_of(here / "run", "inference")
    assert record["given"] == {"num_workers": 0, "decoder#min_area_px": 40}
    assert record["settings"]["dataset_dir"] == [str(image)]


def test_what_cannot_be_repeated_or_would_replace_something_is_refused_in_one_line(here, capsys):
    overlay = here / "mine.json"
    overlay.write_text('{"decoder#min_area_px": 40}')
    configs = f"['{UNET / INFERENCE}', '{overlay}']"
    image = min((here / "data #2" / "images").iterdir())
    result = run_bundle("inference", "--config_file", configs, "--dataset_dir", image, "--output_dir", "run", cwd=here)
    assert result.returncode == 0, result.stderr[-3000:]
    assert main(["rerun", "run"]) == 2
    assert f"error: run: the run read {overlay}, too, which medseg rerun does not: rep" in capsys.readouterr().err
    segment([image], UNET, here / "other", overrides={"num_workers": 0})
    (here / "other_rerun").mkdir()
    (here / "other_rerun" / "mine.txt").touch()
    for words, message in {
        ("other", "--output", "./other"): "error: --output other is the folder of the run, which stays as it is",
        ("other",): "error: other_rerun holds files already: give another folder as --output",
        ("data #2",): "error: data #2 has no provenance_train.json and no provenance_evaluate.json and no",
        ("other", "--output", "x", "--mistake", "5"): "error: --mistake: no such key in the config",
        ("other", "--workflow", "train"): "error: other has no provenance_train.json: give the folder of a run",
    }.items():
        assert main(["rerun", *words]) == 2
        assert message in capsys.readouterr().err
    assert [path.name for path in (here / "other_rerun").iterdir()] == ["mine.txt"]
