"""Images that are unlike the training images are told from others."""

import csv
import math
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch
from scipy import ndimage

from medseg_ext.errors import DataError
from medseg_ext.images.appearance import ASPECTS, appearance
from medseg_ext.images.eight_bit import as_prepared, read_rgb_8_bit
from medseg_ext.images.read import read_rgb
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_folder import ResultFolder
from medseg_ext.objects.training_images import FLAGGED, MEASURES, TrainingImages, measures


def dark_image(seed: int, *, side: int = 120, level: float = 0.4, tint=(1.0, 1.0, 1.0)) -> np.ndarray:
    """Blobs on black, float (H, W, 3)."""
    rng = np.random.default_rng(seed)
    blobs = ndimage.gaussian_filter(rng.normal(size=(side, side)), 4)
    grey = level * np.clip(blobs / blobs.std() - 0.8, 0, 2) + rng.normal(0, 0.005, (side, side))
    return np.clip(grey[..., None] * np.array(tint), 0, 1).astype(np.float32)


def known(count: int = 60) -> TrainingImages:
    """Dark images and pale ones: two kinds."""
    found = [
        measures(image, rng_diameter)
        for seed in range(count)
        for image, rng_diameter in ((dark_image(seed), 9 + seed % 3), (1 - 0.5 * dark_image(seed + 500), 9 + seed % 4))
    ]
    training = [each for place, each in enumerate(found) if place // 2 % 4]
    return TrainingImages.of(training, [*found[::8], *found[1::8]])


def test_each_aspect_is_named_when_it_alone_is_another():
    images = known()
    assert images.remark(measures(dark_image(901), 10)) is None
    assert images.remark(measures(1 - 0.5 * dark_image(902), 10)) is None
    remark = images.remark(measures(dark_image(901, tint=(1, 0.1, 0.1)), 10))
    assert remark == "unlike the training images: its colours differ; check the result"
    assert images.remark(measures(dark_image(901), 90)) == (
        "unlike the training images: its size of objects differs; check the result"
    )
    noisy = np.clip(dark_image(901) + np.random.default_rng(0).normal(0, 0.2, (120, 120, 1)), 0, 1)
    assert "noise and detail" in (images.remark(measures(noisy, 10)) or "")


@pytest.mark.parametrize("channel", [None, [0, 1]])
@pytest.mark.parametrize("kind", ["8 bits", "12 bits in 16", "signed", "float"])
def test_an_image_is_compared_in_the_contrast_in_which_it_is_prepared(kind, channel, tmp_path):
    grey = np.stack([dark_image(1)[..., 0], 0.1 * dark_image(2)[..., 0]])
    pixels = {
        "8 bits": (grey * 255).astype(np.uint8), "12 bits in 16": (grey * 4095).astype(np.uint16),
        "signed": (grey * 4095).astype(np.int16) - 500, "float": grey * 70,
    }[kind]  # fmt: skip
    options = {"photometric": "minisblack", "planarconfig": "separate"}
    tifffile.imwrite(path := tmp_path / "a.tif", pixels, **options)
    prepared = read_rgb_8_bit(path.read_bytes(), "a.tif", channel=channel) / np.float32(255)
    came = as_prepared(read_rgb(path, channel=channel), apart=channel is not None)
    assert measures(came) == pytest.approx(measures(prepared), abs=1e-3, nan_ok=True)


def test_between_two_kinds_is_unlike_both():
    rng = np.random.default_rng(0)
    rows = [*rng.normal(-5, 1, (200, len(MEASURES))), *rng.normal(5, 1, (200, len(MEASURES)))]
    measured = [dict(zip(MEASURES, row, strict=True)) for row in rows]
    images = TrainingImages.of(measured[::2], measured[1::2])
    assert images.remark(dict.fromkeys(MEASURES, 0.0)) is not None
    assert images.remark(dict.fromkeys(MEASURES, 5.0)) is None


def test_an_unknown_size_does_not_count():
    images = known()
    for unknown in (None, math.nan, 0.0):
        assert images.remark(measures(dark_image(901), unknown)) is None


def test_of_images_like_the_validations_few_are_flagged():
    rng = np.random.default_rng(0)
    rows = [dict(zip(MEASURES, row, strict=True)) for row in rng.normal(size=(1000, len(MEASURES)))]
    images = TrainingImages.of(rows[:400], rows[400:700])
    flagged = np.mean([images.remark(row) is not None for row in rows[700:]])
    assert flagged < 3 * FLAGGED
    assert np.mean([images.remark(row) is not None for row in rows[400:700]]) <= FLAGGED


@pytest.mark.parametrize(("n_training", "n_validation"), [(40, 1), (40, 2), (200, 18), (10, 40)])
def test_few_validation_images_do_not_flag_images_like_those_of_the_training(n_training, n_validation):
    rng = np.random.default_rng(0)
    rows = [dict(zip(MEASURES, row, strict=True)) for row in rng.normal(size=(1000, len(MEASURES)))]
    images = TrainingImages.of(rows[:n_training], rows[n_training : n_training + n_validation])
    flagged = np.mean([images.remark(row) is not None for row in rows[n_training:]])
    assert 0 < flagged < 3 / n_training + 2 * FLAGGED
    assert images.remark(dict.fromkeys(MEASURES, 9.0)) is not None


@pytest.mark.parametrize("n_training", [1, 2, 16])
def test_too_few_images_to_tell_give_no_remarks(n_training, tmp_path):
    rng = np.random.default_rng(0)
    rows = [dict(zip(MEASURES, row, strict=True)) for row in rng.normal(size=(18, len(MEASURES)))]
    TrainingImages.of(rows[:n_training], rows[16:]).write(tmp_path / "known.json")
    assert TrainingImages.read(tmp_path / "known.json").remark(dict.fromkeys(MEASURES, 9.0)) is None


@pytest.mark.parametrize("diameter", [10, 70, None])
def test_a_training_image_is_never_flagged_though_it_is_unlike_all_others(diameter):
    pale = measures(np.full((60, 60, 3), (0.9, 0.2, 0.4), dtype=np.float32), 10)
    usual = [measures(dark_image(seed), 10) for seed in range(40)]
    images = TrainingImages.of([*usual[:20], pale], usual[20:])
    assert images.distance(pale) > images.threshold
    assert images.remark({name: value + 1e-3 for name, value in pale.items()} | {"object_size": 3.0}) is None
    assert images.remark(measures(np.full((60, 60, 3), (0.9, 0.2, 0.4)), diameter)) is None
    assert images.remark(measures(np.full((60, 60, 3), (0.9, 0.2, 0.5)), diameter)) is not None


def test_what_is_written_is_read_and_does_not_flag_its_validation(tmp_path):
    rng = np.random.default_rng(1)
    rows = [dict(zip(MEASURES, row, strict=True)) for row in rng.normal(size=(40, len(MEASURES)))]
    rows[3]["object_size"] = math.nan
    images = TrainingImages.of(rows[:30], rows[30:])
    images.write(tmp_path / "known.json")
    again = TrainingImages.read(tmp_path / "known.json")
    np.testing.assert_allclose(again.values, images.values, atol=1e-4)
    assert [again.distance(row) for row in rows] == pytest.approx([images.distance(row) for row in rows], abs=1e-2)


def test_a_single_image_is_enough_and_none_has_an_object(tmp_path):
    row = measures(np.zeros((40, 50, 3), dtype=np.float32))
    images = TrainingImages.of([row], [row])
    assert images.remark(row) is None
    images.write(tmp_path / "known.json")
    assert TrainingImages.read(tmp_path / "known.json").remark(row) is None


@pytest.mark.parametrize("text", ["", "{}", '{"format": 0}', "[1]"])
def test_a_broken_file_is_refused_with_its_name(tmp_path, text):
    file = tmp_path / "known.json"
    file.write_text(text)
    with pytest.raises(DataError, match=r"known\.json is broken"):
        TrainingImages.read(file)


@pytest.mark.parametrize("size", [(1, 1), (2, 700), (31, 17), (900, 600)])
def test_measures_are_finite_for_any_size(size):
    for image in (np.zeros((*size, 3)), np.ones((*size, 3)), np.random.default_rng(0).random((*size, 3))):
        measured = appearance(image.astype(np.float32))
        assert list(measured) == list(ASPECTS)
        assert all(map(math.isfinite, measured.values()))


def test_turning_an_image_leaves_its_measures():
    image = dark_image(5, side=256, tint=(1, 0.6, 0.3))
    turned = appearance(np.rot90(image).copy())
    assert list(turned.values()) == pytest.approx(list(appearance(image).values()), abs=1e-4)


@pytest.mark.parametrize("is_known", [True, False])
def test_the_summary_tells_of_images_that_are_unlike_where_the_training_images_are_known(tmp_path, is_known):
    file = tmp_path / "training_images.json"
    if is_known:
        known().write(file)
    pictures = {"usual": dark_image(901), "red": dark_image(901, tint=(1, 0.1, 0.1))}
    items = [{"image": str(tmp_path / f"{name}.png"), "id": name} for name in pictures]
    images = SimpleNamespace(data=items, large=[], unreadable=[], page=0, channel=None, remarks={})
    names = {"class_names": ["background", "nucleus"], "object_name": "nucleus"}
    folder = ResultFolder(tmp_path / "out", images=images, training_images=file, **names)
    folder.start()
    labels = torch.zeros((1, 120, 120), dtype=torch.int32)
    labels[0, 10:19, 10:19] = 1
    for item in items:
        folder.write(item, Objects(labels, labels.to(torch.uint8), torch.ones(1)), pictures[item["id"]])
    folder.summarise()
    with (tmp_path / "out" / "summary.csv").open(encoding="utf-8", newline="") as stream:
        remarks = {row["id"]: row["remarks"] for row in csv.DictReader(stream)}
    told = "unlike the training images: its colours differ; check the result" if is_known else ""
    assert remarks == {"usual": "", "red": told}
