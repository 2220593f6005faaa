"""Images of several channels: prepared, learnt, scored, segmented and shipped as the channels that a person names."""

import csv
import json
import shutil

import numpy as np
import pytest
import tifffile
import torch
from bundle_settings import NETWORKS, QUICK_WORDS, UNET

from medseg_ext.bundle.exported_bundle import read_exported_bundle
from medseg_ext.cli.main import main

NAMES = ["membrane", "DAPI", "dirt", "marker"]
ALL = ",".join(NAMES)
SHORT = [*QUICK_WORDS, "--crops_per_image", "1", "--max_epochs", "1", "--val_interval", "1"]


def medseg(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def draw(random, side):
    """Draw nuclei that are all in DAPI, of which half are in the marker, too: those are the objects."""
    rows, columns = np.mgrid[:side, :side]
    channels, labels = np.zeros((4, side, side)), np.zeros((side, side), np.uint16)
    for top in range(4, side - 28, 32):
        for left in range(4, side - 28, 32):
            row, column, radius = top + random.integers(10, 16), left + random.integers(10, 16), random.uniform(7, 10)
            distance = np.hypot(rows - row, columns - column)
            channels[0] += 30000 * (abs(distance - radius - 3) < 1.5)
            channels[1] += 20000 * (distance < radius)
            if random.random() < 0.5:
                channels[3] += 9000 * (distance < radius)
                labels[distance < radius] = labels.max() + 1
    channels[2] += 20000 * (random.random((side, side)) < 0.01)
    return (channels + random.normal(900, 120, channels.shape)).clip(0, 65535).astype(np.uint16), labels


def write_images(folder, *, count, side, seed=0):
    folder.mkdir()
    random = np.random.default_rng(seed)
    for number in range(count):
        channels, labels = draw(random, side)
        metadata = {"axes": "CYX", "Channel": {"Name": NAMES}}
        path = folder / f"image{number}.tif"
        tifffile.imwrite(path, channels, ome=True, photometric="minisblack", metadata=metadata)
        tifffile.imwrite(folder / f"image{number}_mask.tif", labels)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("channels")
    raw = write_images(folder / "raw", count=4, side=96)
    split = ("--fractions", 0.5, 0.25, 0.25)
    medseg("prepare", raw, folder / "data", "--channel", ALL, "--workers", 1, *split)
    return folder / "data"


@pytest.fixture(scope="module")
def images(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    shutil.copy(data.parent / "raw" / "image0.tif", folder)
    return folder


@pytest.mark.parametrize("bundle", NETWORKS)
def test_a_bundle_learns_the_channels_of_the_data_and_is_shipped_with_them(bundle, data, images, tmp_path, capsys):
    if bundle.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    own, run = shutil.copytree(bundle, tmp_path / "own"), tmp_path / "run"
    medseg("train", "--bundle", own, "--data", data, "--output", run, *SHORT)
    assert f"channels: those of the data, {NAMES}" in capsys.readouterr().err
    state = torch.load(run / "model.pt", weights_only=True)
    assert any(value.ndim == 4 and value.shape[1] == 4 for value in state.values())
    weights = ("--bundle", own, "--ckpt_path", run / "model.pt", *QUICK_WORDS)
    medseg("evaluate", "--data", data, "--output", tmp_path / "evaluation", *weights)
    assert (tmp_path / "evaluation" / "report.html").is_file()
    medseg("segment", images, "--output", tmp_path / "objects", *weights)
    medseg("ship", run / "model.pt", own, "--evaluation", tmp_path / "evaluation")
    inputs = json.loads((own / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    assert inputs["num_channels"] == 4
    assert list(inputs["channel_def"].values()) == NAMES
    medseg("segment", images, "--bundle", own, "--output", tmp_path / "again", *QUICK_WORDS)
    for folder in ("objects", "again"):
        header = (tmp_path / folder / "image0_objects.csv").read_text().splitlines()[0]
        assert all(f"mean_{name}" in header for name in NAMES)
        assert "mean_red" not in header
    one, other = (tifffile.imread(tmp_path / folder / "image0_instances.tif") for folder in ("objects", "again"))
    np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("bundle", NETWORKS)
def test_a_bundle_of_several_channels_is_verified_and_exported(bundle, data, tmp_path):
    if bundle.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    own, run = shutil.copytree(bundle, tmp_path / "own"), tmp_path / "run"
    medseg("train", "--bundle", own, "--data", data, "--output", run, *SHORT)
    medseg("ship", run / "model.pt", own)
    medseg("verify", own)
    medseg("export", own, "--output", tmp_path / "exports")
    exported = read_exported_bundle(tmp_path / "exports" / "own" / "models" / "model.ts")
    assert exported.channel == NAMES
    loaded = exported.preprocess(exported.load({"image": str(data.parent / "raw" / "image0.tif")}))["image"]
    assert loaded.shape == (4, 96, 96)
    assert exported.decode(loaded, exported.predict(loaded)).instances.shape == (1, 96, 96)


def test_an_image_of_several_channels_is_the_same_tile_by_tile(data, images, tmp_path):
    run = tmp_path / "run"
    medseg("train", "--bundle", UNET, "--data", data, "--output", run, *SHORT)
    weights = ("--bundle", UNET, "--ckpt_path", run / "model.pt", "--object_diameter_px", 18, *QUICK_WORDS)
    for folder, more in (("whole", ()), ("tiles", ("--large_image_px", 1000))):
        medseg("segment", images, "--output", tmp_path / folder, *weights, *more)
    one, other = (list(csv.DictReader((tmp_path / each / "image0_objects.csv").open())) for each in ("whole", "tiles"))
    assert one
    assert one == other


def test_data_of_other_channels_than_the_network_sees_are_refused(data, tmp_path, capsys):
    words = ["evaluate", "--bundle", UNET, "--data", data, "--output", tmp_path, *QUICK_WORDS]
    assert main([str(word) for word in words]) == 2
    told = capsys.readouterr().err
    assert "holds the channels" in told
    assert "this network sees grey or RGB" in told


@pytest.mark.slow
def test_further_channels_tell_objects_apart_that_one_alone_does_not(tmp_path):
    """Half of the nuclei carry the marker; DAPI shows all alike."""
    raw = write_images(tmp_path / "raw", count=30, side=160)
    found = {}
    for name, channels in (("all", ALL), ("DAPI", "DAPI")):
        prepared, run, evaluation = (tmp_path / f"{name} {what}" for what in ("data", "run", "evaluation"))
        medseg("prepare", raw, prepared, "--channel", channels, "--fractions", 0.6, 0.2, 0.2)
        quick = ("--patch_size", "[128,128]", "--num_workers", 0, "--device", "cpu")
        medseg("train", "--bundle", UNET, "--data", prepared, "--output", run, *quick)
        weights = ("--ckpt_path", run / "model.pt", "--num_workers", 0, "--device", "cpu")
        medseg("evaluate", "--bundle", UNET, "--data", prepared, "--output", evaluation, *weights)
        found[name] = json.loads((evaluation / "metrics.json").read_text())["metrics"]["ap_50"]["value"]
    assert found["all"] > 0.9
    assert found["DAPI"] < 0.65
