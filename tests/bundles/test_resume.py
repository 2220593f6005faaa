"""A run that was interrupted is gone on with, to the files of one that was not."""

import filecmp
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bundle_settings import QUICK, ROOT
from PIL import Image

from medseg_ext.cli.main import main
from medseg_ext.images.result_names import DONE_FILE
from medseg_ext.objects.formats import FORMATS

WORDS = ["--bundle", "dsb2018_unet", "--object_diameter_px", "20", "--large_image_px", "150000"]
WORDS += ["--formats", ",".join(FORMATS)]
WORDS += [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]


def segment(images: Path, output: Path, *words: str) -> int:
    return main(["segment", str(images), "--output", str(output), *WORDS, *words])


@pytest.fixture(scope="module")
def images(sample_data_sets, tmp_path_factory) -> Path:
    """Three small images, a large one, and one that cannot be read."""
    folder = tmp_path_factory.mktemp("images")
    files = sorted((sample_data_sets["dsb2018"] / "images").iterdir())[:3]
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number}.png")
    mosaic = np.tile(np.asarray(Image.open(files[0]).convert("RGB")), (4, 4, 1))[:500, :420]
    tifffile.imwrite(folder / "large.tif", mosaic, photometric="rgb", tile=(64, 64))
    (folder / "broken.tif").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def whole(images, tmp_path_factory) -> Path:
    """The results of a run that was not interrupted."""
    output = tmp_path_factory.mktemp("whole")
    assert segment(images, output) == 1
    return output


def visible(folder: Path) -> set[str]:
    """Name the files that are the same of two runs; `provenance_inference.json` tells of each by itself."""
    return {path.name for path in folder.iterdir() if not path.name.startswith((".", "provenance_"))}


def assert_alike(one: Path, other: Path) -> None:
    assert visible(one) == visible(other)
    assert filecmp.cmpfiles(one, other, visible(one), shallow=False)[1:] == ([], [])


@pytest.mark.parametrize("done", [0, 1, 3, 4])
def test_a_run_that_was_killed_is_gone_on_with(images, whole, tmp_path, capsys, done):
    notes = (whole / DONE_FILE).read_bytes().splitlines(keepends=True)
    output = shutil.copytree(whole, tmp_path / "output")
    (output / DONE_FILE).write_bytes(b"".join(notes[: done + 1]) + b'{"row":{"id":')
    for name in ("summary.csv", "gallery.html"):
        (output / name).unlink()
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert segment(images, output, "--resume") == 1
    assert f"{done} of 5 images were done before" in capsys.readouterr().err
    assert_alike(whole, output)
    ids = [bytes(line).split(b'"id":"')[1].split(b'"')[0].decode() for line in notes[1 : done + 1]]
    assert len(json.loads((output / "provenance_inference.json").read_text()).get("earlier", [])) == (done > 0)
    untouched = [path for path, time in before.items() if path.stat().st_mtime_ns == time]
    assert sorted(untouched) == sorted(path for path in before if path.name.removeprefix(".").rpartition("_")[0] in ids)


def test_images_that_come_later_are_added(images, whole, tmp_path, capsys):
    few = shutil.copytree(images, tmp_path / "images", ignore=shutil.ignore_patterns("1.png", "broken.tif"))
    assert segment(few, tmp_path / "output") == 0
    for name in ("1.png", "broken.tif"):
        shutil.copy2(images / name, few)
    capsys.readouterr()
    assert segment(few, tmp_path / "output", "--resume") == 1
    assert "3 of 5 images were done before" in capsys.readouterr().err
    assert_alike(whole, tmp_path / "output")


def test_other_settings_and_other_weights_are_refused(images, whole, tmp_path, capsys):
    output = shutil.copytree(whole, tmp_path / "output")
    assert segment(images, output, "--resume", "--tta", "True") == 2
    assert "holds results of other settings (tta was false, is true)" in capsys.readouterr().err
    assert segment(images, output, "--resume", "--decoder#min_area_px", "30") == 2
    assert "decoder#min_area_px was not there, is 30" in capsys.readouterr().err
    weights = tmp_path / "weights.pt"
    weights.write_bytes((ROOT / "bundles/dsb2018_unet/models/model.pt").read_bytes() + b" ")
    assert segment(images, output, "--resume", "--ckpt_path", str(weights)) == 2
    assert "weights was " in capsys.readouterr().err
    assert_alike(whole, output)


def test_settings_without_effect_are_no_others(images, whole, tmp_path):
    output = shutil.copytree(whole, tmp_path / "output")
    assert segment(images, output, "--resume", "--output_format", "tiff", "--title", "Another", "--no-gallery") == 1
