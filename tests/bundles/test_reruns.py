"""A run's folder tells what it was made with, and `medseg rerun` repeats it."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from bundle_runs import EVALUATE
from bundle_settings import QUICK, ROOT

from medseg_ext.cli.main import main

UNET = ROOT / "bundles" / "dsb2018_unet"
KEYS = [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]


def contents(folder) -> dict[str, bytes]:
    """Read what a run has written but for records of its time and place."""
    apart = (
        "provenance_",
        "events.out",
        "checkpoint.pt",
        "gallery.html",
        "run.json",
        "metrics.json",
        "report.html",
        ".",
    )
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(apart)
    }


@pytest.mark.slow
def test_a_training_is_repeated_to_the_last_bit(sample_data_sets, tmp_path, capsys):
    run = tmp_path / "run"
    words = ["train", "--bundle", str(UNET), "--data", str(sample_data_sets["dsb2018"]), "--output", str(run), *KEYS]
    words += ["--max_epochs", "2", "--learning_rate", "0.002", "--optimizer#weight_decay", "0.5", "--seed", "3"]
    assert main(words) == 0
    record = json.loads((run / "provenance_train.json").read_text())
    assert (record["seed"], record["settings"]["learning_rate"]) == (3, 0.002)
    assert record["given"]["optimizer#weight_decay"] == 0.5
    assert record["settings"]["working_diameter_px"] == 20  # the config's own
    assert torch.__version__.startswith(record["versions"]["torch"].partition("+")[0])
    assert main(["rerun", str(run)]) == 0
    again = tmp_path / "run_rerun"
    assert "not as it was" not in capsys.readouterr().err
    assert (again / "iou_curve.csv").read_bytes() == (run / "iou_curve.csv").read_bytes()
    one, other = (torch.load(folder / "model.pt", weights_only=True) for folder in (run, again))
    torch.testing.assert_close(dict(one), dict(other), rtol=0, atol=0)
    repeated = json.loads((again / "provenance_train.json").read_text())
    for key in ("learning_rate", "seed", "dataset_dir", "batch_size"):
        assert repeated["settings"][key] == record["settings"][key]
    assert (
        main(["rerun", str(run), "--learning_rate", "0.004", "--max_epochs", "1", "--output", str(tmp_path / "c")]) == 0
    )
    changed = json.loads((tmp_path / "c" / "provenance_train.json").read_text())["settings"]
    assert (changed["learning_rate"], changed["max_epochs"], changed["seed"]) == (0.004, 1, 3)


@pytest.mark.slow
def test_an_evaluation_by_monais_command_line_is_repeated(sample_data_sets, tmp_path, capsys):
    data = shutil.copytree(sample_data_sets["dsb2018"], tmp_path / "data #2")
    weights = shutil.copyfile(UNET / "models" / "model.pt", tmp_path / "weights.pt")
    result = subprocess.run(
        [sys.executable, "-m", "monai.bundle", "run", "evaluate", "--config_file", str(UNET / EVALUATE)]
        + ["--dataset_dir", "data #2", "--ckpt_path", "weights.pt", "--output_dir", "run"]
        + ["--decoder#min_area_px", "99", *KEYS],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    record = json.loads((tmp_path / "run" / "provenance_evaluate.json").read_text())
    assert record["data_set"]["path"] == str(data / "dataset.json")
    assert record["weights"]["path"] == str(weights)
    assert record["given"]["decoder#min_area_px"] == 99
    assert main(["rerun", str(tmp_path / "run")]) == 0
    assert contents(tmp_path / "run_rerun") == contents(tmp_path / "run")
    assert "not as it was" not in capsys.readouterr().err
    (data / "dataset.json").write_text((data / "dataset.json").read_text() + "\n")
    weights.unlink()
    assert main(["rerun", str(tmp_path / "run"), "--output", str(tmp_path / "again")]) == 2
    told = capsys.readouterr().err
    assert f"not as it was: data set: {data / 'dataset.json'} is another" in told
    assert f"not as it was: weights: {weights} is gone" in told


def test_a_segmentation_is_repeated(sample_data_sets, tmp_path):
    run = tmp_path / "run"
    images = sorted((sample_data_sets["dsb2018"] / "images").iterdir())[:2]
    words = ["segment", *map(str, images), "--bundle", str(UNET), "--output", str(run), "--no-gallery"]
    assert main([*words, "--num_workers", "0", "--device", "cpu", "--decoder#min_area_px", "40"]) == 0
    record = json.loads((run / "provenance_inference.json").read_text())
    assert record["settings"]["dataset_dir"] == list(map(str, images))
    assert record["given"]["decoder#min_area_px"] == 40
    assert main(["rerun", str(run)]) == 0
    assert contents(tmp_path / "run_rerun") == contents(run)
