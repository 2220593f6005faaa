"""The whole way, by the commands that people type, in a folder and with names that hold what parsers read otherwise."""

import json
import shutil
from pathlib import Path

import pytest
from bundle_settings import QUICK, ROOT

from medseg_ext.cli.main import main

ODD = "# %d $x @y 'q\" [a] {b}, é\n::-z"
QUICK_WORDS = [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]


@pytest.mark.slow
def test_every_command_goes_its_way_in_a_folder_and_with_paths_of_an_odd_name(tmp_path, monkeypatch, capsys):
    here = tmp_path / ODD
    here.mkdir()
    monkeypatch.chdir(here)
    bundle, raw, data, run, evaluation = (f"{name}{ODD}" for name in ("net", "raw", "data", "run", "evaluation"))
    shutil.copytree(ROOT / "bundles" / "dsb2018_unet", bundle)

    def medseg(*words: object) -> str:
        assert main([str(word) for word in words]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    medseg("sample", raw, "--images-per-set", 10)
    groups, images = f"{raw}/dsb2018/groups.csv", f"{raw}/dsb2018/stage1_train"
    medseg("prepare", images, data, "--groups", groups, "--fractions", 0.6, 0.2, 0.2)
    medseg("train", "--bundle", bundle, "--data", data, "--output", run, "--max_epochs", 1, *QUICK_WORDS)
    assert Path(run, "model.pt").is_file()
    weights = ["--ckpt_path", f"{run}/model.pt"]
    medseg("evaluate", "--bundle", bundle, "--data", data, "--output", evaluation, *weights, *QUICK_WORDS)
    assert json.loads(Path(evaluation, "metrics.json").read_text())
    image = Path(f"cell{ODD}.png")
    shutil.copy(next(Path(data, "images").iterdir()), image)
    told = medseg("segment", image, f"{data}/images", "--bundle", bundle, "--output", f"objects{ODD}", *QUICK_WORDS)
    assert "in 11 images" in told
    assert Path(f"objects{ODD}", f"cell{ODD}_instances.tif").is_file()
    medseg("compare", evaluation, "--output", f"comparison{ODD}")
    assert Path(f"comparison{ODD}", "comparison.html").is_file()
    medseg("ship", f"{run}/model.pt", bundle)
    medseg("card", bundle, evaluation)
    medseg("export", bundle, "--output", f"exports{ODD}")
    assert "torchscript" in medseg("verify", f"exports{ODD}/{bundle}", "--images", data, "--count", 1)
    made = {
        bundle,
        raw,
        data,
        run,
        evaluation,
        str(image),
        *(f"{name}{ODD}" for name in ("objects", "comparison", "exports")),
    }
    assert {path.name for path in here.iterdir()} == made
