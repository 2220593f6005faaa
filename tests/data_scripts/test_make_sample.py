"""The sample has the raw layouts of the real sets, and what makes them hard."""

from __future__ import annotations

import csv
import hashlib
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from medseg_ext.synthetic.make import make_sample
from medseg_ext.synthetic.placement import Arrangement, scatter
from medseg_ext.synthetic.scenes import nucleus_images, smears
from medseg_ext.synthetic.shapes import irregular

SCRIPT = Path(__file__).parents[2] / "data_scripts" / "make_sample.py"
IMAGES = 9  # enough for grey and colour, all sizes and two mosaics


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    target = tmp_path_factory.mktemp("sample") / "raw"
    make_sample(target, seed=0, dsb2018_images=IMAGES, segpc2021_images=4)
    return target


def read(path):
    return np.array(Image.open(path))


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def dsb2018_folders(sample):
    return sorted((sample / "dsb2018" / "stage1_train").iterdir())


def segpc2021_masks(sample, image_id):
    masks = [read(path) for path in sorted((sample / "segpc2021" / "train" / "y").glob(f"{image_id}_*.bmp"))]
    return [mask if mask.ndim == 2 else mask[..., 0] for mask in masks]


def segpc2021_images(sample):
    return sorted((sample / "segpc2021" / "train" / "x").iterdir())


def test_dsb2018_layout_is_that_of_kaggle(sample):
    folders = dsb2018_folders(sample)
    assert len(folders) == IMAGES
    for folder in folders:
        assert len(folder.name) == 64
        assert int(folder.name, 16) >= 0
        assert sorted(path.name for path in folder.iterdir()) == ["images", "masks"]
        assert [path.name for path in (folder / "images").iterdir()] == [f"{folder.name}.png"]
        with Image.open(folder / "images" / f"{folder.name}.png") as image:
            assert image.mode == "RGBA"


def test_dsb2018_masks_are_binary_nonempty_connected_and_disjoint(sample):
    for folder in dsb2018_folders(sample):
        shape = read(folder / "images" / f"{folder.name}.png").shape[:2]
        masks = [read(path) for path in (folder / "masks").iterdir()]
        assert masks
        for mask in masks:
            assert mask.shape == shape
            assert set(np.unique(mask)) == {0, 255}
        assert np.sum([mask > 0 for mask in masks], axis=0).max() == 1


def test_dsb2018_has_non_square_and_differing_sizes(sample):
    shapes = {read(folder / "images" / f"{folder.name}.png").shape[:2] for folder in dsb2018_folders(sample)}
    assert {(256, 256), (256, 320), (360, 360)} <= shapes


def test_dsb2018_has_grey_and_colour_images(sample):
    spreads = [
        np.ptp(read(folder / "images" / f"{folder.name}.png")[..., :3].astype(int), axis=2).max()
        for folder in dsb2018_folders(sample)
    ]
    assert min(spreads) == 0
    assert max(spreads) > 60


def test_images_of_one_mosaic_share_their_group(sample):
    rows = list(csv.DictReader((sample / "dsb2018" / "groups.csv").open()))
    assert {row["image_id"] for row in rows} == {folder.name for folder in dsb2018_folders(sample)}
    counts = Counter(row["group"] for row in rows)
    assert max(counts.values()) > 1
    assert min(counts.values()) == 1
    for group in counts:
        assert len({row["kind"] for row in rows if row["group"] == group}) == 1


def test_nuclei_touch_one_another(sample):
    touching = 0
    for folder in dsb2018_folders(sample):
        labels = np.zeros(read(folder / "images" / f"{folder.name}.png").shape[:2], dtype=int)
        for number, path in enumerate((folder / "masks").iterdir(), start=1):
            labels[read(path) > 0] = number
        nearest = ndimage.maximum_filter(labels, 3)
        touching += np.sum((labels > 0) & (nearest > labels))
    assert touching > 100


def test_segpc2021_layout_is_that_of_the_challenge(sample):
    images = segpc2021_images(sample)
    assert len(images) == 4
    known = {path.stem for path in images}
    for path in images:
        assert path.suffix == ".bmp"
        assert read(path).shape == (384, 512, 3)
        assert segpc2021_masks(sample, path.stem)
    assert {path.stem.rsplit("_", 1)[0] for path in (sample / "segpc2021" / "train" / "y").iterdir()} == known


def test_segpc2021_masks_hold_0_20_40_only_and_are_disjoint(sample):
    for path in segpc2021_images(sample):
        masks = segpc2021_masks(sample, path.stem)
        for mask in masks:
            assert mask.shape == (384, 512)
            assert {0, 20} <= set(np.unique(mask)) <= {0, 20, 40}
        assert np.sum([mask > 0 for mask in masks], axis=0).max() == 1


def test_a_few_segpc2021_masks_have_three_equal_channels(sample):
    masks = [read(path) for path in (sample / "segpc2021" / "train" / "y").iterdir()]
    three = [mask for mask in masks if mask.ndim == 3]
    assert 0 < len(three) < len(masks) / 2
    for mask in three:
        assert mask.shape[2] == 3
        assert (mask == mask[..., :1]).all()


def test_every_nucleus_lies_inside_its_cell():
    for smear in islice(smears(3), 3):
        assert smear.nuclei.any()
        assert (smear.cells[smear.nuclei] > 0).all()


def test_nuclei_of_plasma_cells_are_eccentric():
    offsets = []
    for smear in islice(smears(0), 4):
        for label in np.unique(smear.cells[smear.cells > 0]):
            cell, nucleus = smear.cells == label, (smear.cells == label) & smear.nuclei
            if nucleus.any() and not (cell[[0, -1]].any() or cell[:, [0, -1]].any()):
                distance = np.subtract(ndimage.center_of_mass(cell), ndimage.center_of_mass(nucleus))
                offsets.append(np.hypot(*distance) / np.sqrt(cell.sum()))
    assert np.median(offsets) > 0.1


def test_cells_that_are_no_plasma_cells_have_no_truth(sample):
    """As dark as the nuclei of plasma cells, yet in no mask."""
    outside = 0
    for path in segpc2021_images(sample):
        masks = segpc2021_masks(sample, path.stem)
        red = read(path)[..., 0].astype(float)
        inside = np.max(masks, axis=0)
        if (inside == 40).any():
            outside += np.sum((red < np.median(red[inside == 40])) & (inside == 0))
    assert outside > 2000


def test_nuclei_differ_from_their_surroundings():
    for drawn in islice(nucleus_images(5), IMAGES):
        grey = drawn.image.mean(axis=2)
        inside = grey[drawn.labels > 0].mean()
        around = grey[ndimage.binary_dilation(drawn.labels > 0, iterations=8) & (drawn.labels == 0)].mean()
        assert abs(inside - around) > 5


def test_same_seed_gives_identical_files_and_another_seed_others(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        make_sample(tmp_path / name, seed=seed, dsb2018_images=2, segpc2021_images=1)
    one, again, two = (digests(tmp_path / name) for name in ("one", "again", "two"))
    assert one == again
    assert not set(one.values()) & set(two.values())


def test_images_do_not_depend_on_how_many_there_are(sample, tmp_path):
    make_sample(tmp_path / "fewer", seed=0, dsb2018_images=2, segpc2021_images=1)
    skip = {"sample.json", "dsb2018/groups.csv"}
    fewer = {path: digest for path, digest in digests(tmp_path / "fewer").items() if path not in skip}
    assert fewer.items() <= digests(sample).items()


def test_a_complete_sample_is_left_alone(sample):
    before = {path: path.stat().st_mtime_ns for path in sample.rglob("*")}
    make_sample(sample, seed=0, dsb2018_images=IMAGES, segpc2021_images=4)
    assert {path: path.stat().st_mtime_ns for path in sample.rglob("*")} == before


def test_a_sample_of_other_options_is_refused(sample):
    with pytest.raises(FileExistsError, match="another sample"):
        make_sample(sample, seed=1, dsb2018_images=IMAGES, segpc2021_images=4)


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not empty"):
        make_sample(tmp_path, dsb2018_images=1, segpc2021_images=1)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_nothing_is_left_when_drawing_fails(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr("medseg_ext.synthetic.make.write_segpc2021_image", fail)
    with pytest.raises(OSError, match="no space left"):
        make_sample(tmp_path / "raw", dsb2018_images=1, segpc2021_images=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"seed": -1}, {"dsb2018_images": 0}, {"segpc2021_images": -3}])
def test_arguments_out_of_range_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="got"):
        make_sample(tmp_path / "raw", **options)
    assert list(tmp_path.iterdir()) == []


def test_script_draws_and_ends_with_code_2_on_errors(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "raw"), "--images-per-set", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "raw")
    assert len(dsb2018_folders(tmp_path / "raw")) == len(segpc2021_images(tmp_path / "raw")) == 1
    refused = subprocess.run([*command, "--seed", "3"], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr


def test_outlines_are_as_large_as_asked_for():
    areas = []
    for seed in range(40):
        outline = irregular(np.random.default_rng(seed), radius_px=20.0, elongation=1.5, roughness=0.05, bend=0.1)
        window = outline.moved_to((50.0, 60.0)).window((100, 120))
        areas.append((outline.moved_to((50.0, 60.0)).depth_px(window) > 0).sum())
    assert np.mean(areas) == pytest.approx(np.pi * 20.0**2, rel=0.03)


def test_scattered_outlines_keep_to_the_density():
    density = np.zeros((80, 200), dtype=np.float32)
    density[:, 120:] = 1.0
    arrangement = Arrangement((80, 200))
    rng = np.random.default_rng(0)
    scatter(rng, arrangement, lambda rng: irregular(rng, radius_px=5.0), count=15, density=density)
    assert arrangement.labels.max() == len(arrangement.outlines) > 5
    assert all(outline.centre_yx[1] >= 120 for outline in arrangement.outlines)
