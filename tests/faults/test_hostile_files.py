"""No file that a command is given, whatever is in it or in its name, ends in more than a line that tells of it."""

import json
import os
import random
import shutil

import numpy as np
import pytest
import tifffile
from mutations import FORMULAS, SCRIPTS, archive, bombs, damaged, image_files
from PIL import Image

from medseg_ext.tables import read_csv_rows

pytestmark = pytest.mark.faults
QUICK = ("--device", "cpu", "--amp", "False", "--num_workers", "0")
BUNDLE = ("--bundle", "dsb2018_unet")
LONGEST_S, MOST_MB = 60, 4000
SEED = int(os.environ.get("SEED", "0"))
PICTURE = image_files()["grey.png"]
files_tried = 0


@pytest.fixture(scope="module", autouse=True)
def count(request):
    yield
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{files_tried} hostile files tried")


def run(server, *words, files=1, longest_s=LONGEST_S, status=(0, 2), **options):
    """Run a command, and hold what holds of all."""
    global files_tried
    files_tried += files
    ended = server.run(*words, timeout_s=longest_s, **options)
    where = f"{words}: {ended.err[-3000:]}"
    assert not ended.killed_at_deadline, where
    assert ended.status in status, where
    assert "Traceback" not in ended.err, where
    assert ended.peak_mb < MOST_MB, where
    if ended.status == 2:
        assert ended.last_line.startswith("error: "), where
        assert len(ended.last_line) > len("error: None"), where
    return ended


def test_images_damaged_and_odd_cost_no_other_image_its_result(server, tmp_path):
    """Good ones under every name are found as one alone; all have a row."""
    chance = random.Random(SEED)
    folder = tmp_path / "images"
    folder.mkdir()
    good = [f"{name}.png" for name in (*SCRIPTS, *FORMULAS, "good") if "/" not in name]
    good += [f"{name.replace('/', '_')}.png" for name in FORMULAS if "/" in name]
    for name in good:
        (folder / name).write_bytes(PICTURE)
    (folder / "\udcff\udcfe.png").write_bytes(PICTURE)  # bytes that are no text
    bad = bombs()
    for name, content in image_files().items():
        stem, suffix = name.split(".", 1)
        bad |= {
            f"{stem}_{number}_{kind}.{suffix}": changed
            for number, (kind, changed) in enumerate(damaged(content, chance, 20))
        }
    bad |= {"archive.png": archive({"a.png": PICTURE}), "script.png": b"#!/bin/sh\n", "page.png": b"<svg/>"}
    for name, content in bad.items():
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "pipe.png")
    for name, target in (
        ("zero.png", "/dev/zero"),
        ("dot.png", "."),
        ("gone.png", "nowhere"),
        ("self.png", "self.png"),
    ):
        (folder / name).symlink_to(target)
    out = tmp_path / "out"
    ended = run(
        server, "segment", folder, *BUNDLE, "--output", out, *QUICK, files=len(bad) + len(good) + 6, longest_s=900,
        status=(1,),
    )  # fmt: skip
    rows = {row["image"]: row for row in read_csv_rows(out / "summary.csv")}
    assert {*bad, *good, "gone.png", "self.png"} <= rows.keys()
    assert "pipe.png" in ended.err
    first = tifffile.imread(out / f"{rows['good.png']['id']}_instances.tif")
    assert first.max() > 0
    for name in good:
        assert rows[name]["status"] == "ok", rows[name]
        assert np.array_equal(tifffile.imread(out / f"{rows[name]['id']}_instances.tif"), first)
    for name, row in rows.items():
        if row["status"] == "ok":
            labels = tifffile.imread(out / f"{row['id']}_instances.tif")
            assert labels.shape == (int(row["height"]), int(row["width"]))
            if "_cut." in name and labels.shape == first.shape and name.startswith(("grey", "plain", "slice")):
                assert np.array_equal(labels > 0, first > 0), name  # only what does not matter was cut off
        else:
            assert row["status"].startswith("error: "), row
            assert len(row["status"]) > len("error: None"), row


def raw_data_set(folder, *, masks="mask"):
    """Write two images with their masks, in the layout of DSB2018."""
    mask = np.zeros((48, 64), np.uint8)
    mask[6:18, 8:20] = 255
    for name in ("a", "b", "c"):
        for kind, content in (("images", None), ("masks", mask)):
            file = folder / name / kind / (f"{name}.png" if kind == "images" else f"{masks}.png")
            file.parent.mkdir(parents=True)
            if content is None:
                file.write_bytes(PICTURE)
            else:
                Image.fromarray(content).save(file)
    return folder


@pytest.mark.parametrize("what", ["images/a.png", "masks/mask.png"])
def test_a_preparation_names_the_damaged_file(what, server, tmp_path):
    chance = random.Random(f"{SEED} {what}")
    raw = raw_data_set(tmp_path / "raw")
    content = (raw / "a" / what).read_bytes()
    for number, (kind, changed) in enumerate([*damaged(content, chance, 24), *bombs().items()]):
        (raw / "a" / what).write_bytes(changed)
        ended = run(server, "prepare", raw, tmp_path / f"{number}", "--workers", "1")
        if ended.status:
            assert str(raw / "a") in ended.last_line, (kind, ended.last_line)
            assert not (tmp_path / f"{number}" / "dataset.json").exists()


def test_a_preparation_takes_archives_as_they_are_or_names_them(server, tmp_path):
    chance = random.Random(SEED)
    raw = raw_data_set(tmp_path / "raw")
    members = {str(path.relative_to(raw)): path.read_bytes() for path in raw.rglob("*.png")}
    whole = archive(members)
    hostile = [changed for _, changed in damaged(whole, chance, 40)]
    hostile += [
        archive(members, claims={"a/images/a.png": 6 * 10**9}),
        archive({**members, "a/masks/bomb.png": bytes(50_000_000)}),
        archive({"inner.zip": whole}),
        archive({"inner.zip": archive({"inner.zip": whole})}),
        archive({**members, "../up.png": PICTURE}),
        archive({**members, "/etc/passwd": b""}),
        archive({**members, "C:\\a.png": PICTURE}),
    ]
    for number, content in enumerate(hostile):
        file, out = tmp_path / f"{number}.zip", tmp_path / f"of {number}"
        file.write_bytes(content)
        ended = run(server, "prepare", file, out, "--workers", "1", "--layout", "dsb2018")
        if ended.status:
            assert f"{number}.zip" in ended.last_line
            assert not (out / "dataset.json").exists()
        else:
            assert {path.stem for path in (out / "images").iterdir()} == {"a", "b", "c"}


@pytest.mark.parametrize("name", [*SCRIPTS, *FORMULAS, "9" * 200, "=" + "x" * 150])
def test_a_preparation_takes_every_name_of_a_mask(name, server, tmp_path):
    raw = raw_data_set(tmp_path / "raw", masks=name.replace("/", "_"))
    run(server, "prepare", raw, tmp_path / "out", "--workers", "1", status=(0,))
    json.loads((tmp_path / "out" / "dataset.json").read_bytes())


def test_numbers_of_masks_may_have_any_length_and_names_any_bytes(server, tmp_path):
    raw = raw_data_set(tmp_path / "raw")
    (raw / "a" / "masks" / "mask.png").rename(raw / "a" / "masks" / "\udcff\udcfe.png")
    run(server, "prepare", raw, tmp_path / "out", "--workers", "1", status=(0,))
    cells = tmp_path / "cells"
    mask = Image.fromarray(np.where(np.arange(64 * 48).reshape(48, 64) < 600, 20, 0).astype(np.uint8))
    members = {}
    for name in ("x/1.bmp", *(f"y/1_{number}.bmp" for number in ("1", "0" * 150 + "2", "7" * 5000))):
        (file := cells / "one.bmp").parent.mkdir(exist_ok=True)
        (Image.open(tmp_path / "raw/b/images/b.png") if name[0] == "x" else mask).convert("L").save(file)
        members[f"train/{name}"] = file.read_bytes()
    (packed := tmp_path / "cells.zip").write_bytes(archive(members))
    run(server, "prepare", packed, tmp_path / "out2", "--workers", "1", "--layout", "segpc2021")


@pytest.mark.parametrize("kind", ["pipe", "zero", "dot", "up", "self", "gone"])
def test_links_and_pipes_among_raw_files_are_named_or_passed_over(kind, server, tmp_path):
    raw = raw_data_set(tmp_path / "raw")
    file = raw / "a" / "masks" / "other.png"
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to({"zero": "/dev/zero", "dot": ".", "up": raw, "self": file, "gone": "nowhere"}[kind])
    ended = run(server, "prepare", raw, tmp_path / "out", "--workers", "1")
    assert ended.status == 0 or "other.png" in ended.last_line


@pytest.mark.parametrize("command", ["train", "evaluate"])
@pytest.mark.parametrize("key", ["image", "instances", "classes", "dataset.json"])
def test_a_damaged_file_of_a_prepared_data_set_is_named(key, command, server, sample_data_sets, tmp_path):
    chance = random.Random(f"{SEED} {key}")
    data = shutil.copytree(sample_data_sets["dsb2018"], tmp_path / "data")
    listed = json.loads((data / "dataset.json").read_bytes())
    item = listed["training" if command == "train" else "testing"][0]
    file = data / item.get(key, key)
    content = file.read_bytes()
    small = ["--patch_size", "[32,32]", "--max_epochs", "1"] if command == "train" else []
    chosen = list(damaged(content, chance, 3)) if key != "dataset.json" else list(damaged(content, chance, 6))
    for number, (kind, changed) in enumerate(chosen):
        file.write_bytes(changed)
        ended = run(server, command, *BUNDLE, "--data", data, "--output", tmp_path / f"{number}", *QUICK, *small)
        if ended.status:
            named = item["id"] if key != "dataset.json" else str(data)
            assert named in ended.last_line, (kind, ended.last_line)


def test_a_comparison_names_the_damaged_run(server, sample_data_sets, tmp_path):
    good = tmp_path / "good"
    run(server, "evaluate", *BUNDLE, "--data", sample_data_sets["dsb2018"], "--output", good, *QUICK, status=(0,))
    chance = random.Random(SEED)
    kinds = ("run.json", "statistics.npz", "pictures/*.png", "label_maps/*/*.tif", "label_maps/*.tif", "*curve*.csv")
    files = [path for kind in kinds for path in sorted(good.glob(kind))[:2]]
    for number, file in enumerate(files):
        for turn, (kind, changed) in enumerate(damaged(file.read_bytes(), chance, 3)):
            bad = shutil.copytree(good, tmp_path / f"bad {number} {turn}")
            (bad / file.relative_to(good)).write_bytes(changed)
            ended = run(server, "compare", good, bad, "--output", tmp_path / "comparison", "--names", "a", "b")
            if ended.status:
                assert "bad" in ended.last_line, (file, kind, ended.last_line)
            shutil.rmtree(bad)


@pytest.mark.parametrize("file", ["models/model.pt", "configs/inference.json", "configs/metadata.json"])
def test_an_export_of_a_damaged_bundle_names_its_file(file, server, tmp_path):
    chance = random.Random(f"{SEED} {file}")
    bundle = shutil.copytree("bundles/dsb2018_unet", tmp_path / "dsb2018_unet")
    content = (bundle / file).read_bytes()
    for kind, changed in list(damaged(content, chance, 16))[::2]:
        (bundle / file).write_bytes(changed)
        ended = run(server, "export", bundle, "--output", tmp_path / "out", "--force", longest_s=120)
        if ended.status:
            assert "dsb2018_unet" in ended.last_line, (kind, ended.last_line)
