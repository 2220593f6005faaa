"""Workers of a cluster give the files of a serial run, whatever happens to them."""

import csv
import filecmp
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bundle_settings import QUICK, ROOT
from PIL import Image

from medseg_ext.bundle.segmentation import SegmentationRun, run_serially, segment
from medseg_ext.cli.main import main
from medseg_ext.errors import DataError

pytest.importorskip("distributed")

from medseg_ext.cluster import segmentation as cluster
from medseg_ext.cluster import worker
from medseg_ext.objects.formats import FORMATS

UNET = ROOT / "bundles" / "dsb2018_unet"
SETTINGS = {**QUICK, "object_diameter_px": 20, "patch_size": [128, 128]}
TILES = {"large_image_px": 150_000, "tile_size": 250, "tile_margin": 160}
WORDS = [
    word for key, value in {**SETTINGS, **TILES}.items() if key != "num_workers" for word in (f"--{key}", str(value))
]


@pytest.fixture(scope="module")
def images(sample_data_sets, tmp_path_factory) -> Path:
    """A folder with small images, one of which is broken, and a large one each as a TIFF and as a PNG."""
    folder = tmp_path_factory.mktemp("images")
    files = sorted((sample_data_sets["dsb2018"] / "images").iterdir())[:4]
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number}.png")
    image = np.asarray(Image.open(files[0]).convert("RGB"))
    mosaic = np.tile(image, (4, 4, 1))[:500, :420]
    tifffile.imwrite(folder / "large.tif", mosaic, photometric="rgb", tile=(64, 64))
    Image.fromarray(mosaic).save(folder / "large.png")
    (folder / "broken.tif").write_text("no image")
    return folder


def visible(folder: Path) -> list[str]:
    """Name the files that are the same of two runs; `provenance_inference.json` tells of each by itself."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith((".", "provenance_")))


def assert_alike(one: Path, other: Path, *, but: tuple[str, ...] = ()) -> None:
    names = visible(one)
    assert visible(other) == names
    assert filecmp.cmpfiles(one, other, set(names) - set(but), shallow=False)[1:] == ([], [])


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        return {row["id"]: row for row in csv.DictReader(file)}


def order_of(bundle, output_dir, overrides, settings, small_bytes=None) -> worker.Order:
    return worker.Order(str(bundle), str(output_dir), overrides, settings, 1, small_bytes, verbose=False)


class InThisProcess(cluster.ClusterSegmentation):
    """Do the tasks of workers here, one after the other."""

    def __call__(self, run: SegmentationRun) -> None:
        results = run.open_results()
        order = order_of(run.bundle, run.output_dir, run.overrides, run.settings, run.pictures.small_bytes)
        engines: set[tuple[str, str]] = set()
        with cluster.tqdm(disable=True) as bar:
            waiting = [cluster._Image(order, item, results, run.pictures, bar, engines).task() for item in run.pending]
            while waiting:
                task = waiting.pop()
                waiting += reversed(list(task.take(task.function(*task.arguments))))
        results.summarise()
        noted = json.loads((run.output_dir / "provenance_inference.json").read_text())["engines"]
        assert [(each["name"], each["precision"]) for each in noted] == sorted(engines)


def test_tasks_of_workers_give_the_files_of_a_serial_run(images, tmp_path):
    options = {key: value for key, value in SETTINGS.items() if key != "num_workers"} | TILES
    options["formats"] = [*FORMATS]
    for name, carry_out in (("serial", run_serially), ("tasks", InThisProcess())):
        segment([images], UNET, tmp_path / name, overrides=options, carry_out=carry_out)
    assert {"large.tif_instances.tif", "large.png_instances.tif", "gallery.html"} <= set(visible(tmp_path / "serial"))
    assert_alike(tmp_path / "serial", tmp_path / "tasks")
    assert not [path for path in (tmp_path / "tasks").iterdir() if path.is_dir()]


def test_a_worker_of_another_environment_is_refused(images, tmp_path):
    order = order_of(UNET, tmp_path, SETTINGS, {"torch": "1.0"})
    with pytest.raises(DataError, match=r'torch was "1\.0", is .*, there\): all are to have the same env'):
        worker.segment_image(order, {"image": str(images / "0.png"), "id": "0"}, False)
    elsewhere = order_of(UNET, tmp_path / "x", SETTINGS, {})
    with pytest.raises(DataError, match="all machines are to share the folders"):
        worker.segment_image(elsewhere, {"image": str(images / "0.png"), "id": "0"}, False)


def test_processes_that_load_images_are_refused_beside_workers(images, tmp_path, capsys):
    words = ["--bundle", "dsb2018_unet", "--output", str(tmp_path / "out"), "--workers", "2", "--num_workers", "2"]
    assert main(["segment", str(images), *words]) == 2
    assert "--num_workers: leave it out" in capsys.readouterr().err


@pytest.fixture(scope="module")
def deadly_bundle(tmp_path_factory) -> Path:
    """A bundle that fails, or kills its process, where an image's name says so."""
    bundle = shutil.copytree(UNET, tmp_path_factory.mktemp("bundle") / "deadly", copy_function=shutil.copy)
    config = bundle / "configs" / "inference.json"
    content = json.loads(config.read_text())
    content["preprocessing"]["transforms"].append({"_target_": "deadly_transforms.FailByName"})
    config.write_text(json.dumps(content))
    return bundle


@pytest.mark.slow
def test_images_that_raise_or_kill_end_as_errors_and_the_others_are_done(images, deadly_bundle, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("first.png", "raising.png", "deadly.png", "last.png"):
        shutil.copy(images / "0.png", folder / name)
    words = ["--bundle", str(deadly_bundle), "--output", str(tmp_path / "out"), "--workers", "2", *WORDS]
    assert main(["segment", str(folder), *words, "--trust"]) == 1
    assert "2 images could not be done" in capsys.readouterr().out
    rows = rows_of(tmp_path / "out")
    assert rows["raising"]["status"] == "error: as its name says"
    assert rows["deadly"]["status"].startswith("error: the process that worked on it died, 6 times")
    assert {row["status"] for name, row in rows.items() if name not in ("raising", "deadly")} == {"ok"}


@pytest.mark.slow
@pytest.mark.parametrize("kill", [["--kills", "2"], ["--kill-all"]], ids=["workers", "all"])
def test_what_is_killed_leaves_the_files_of_a_serial_run(sample_data_sets, tmp_path, kill):
    source = sample_data_sets["dsb2018"] / "images"
    script = [sys.executable, ROOT / "benchmarks" / "killed_workers.py", source, tmp_path, "--images", "60", *kill]
    result = subprocess.run([*script, "--", "--object_diameter_px", "20"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
