"""Crops show objects at the wanted size, with labels under their image."""

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medseg_ext.errors import DataError
from medseg_ext.objects.diameters import object_diameters
from medseg_ext.transforms.object_size import ObjectDiameterd, RandCropAtObjectSized

KEYS = ["image", "instances", "classes"]


def scene(diameter_px: int, side_px: int = 300) -> dict:
    """Make an image of squares of one size in a grid; the image is white where the label map holds one."""
    instances = np.zeros((side_px, side_px), dtype=np.int32)
    edge = round(diameter_px * math.sqrt(math.pi) / 2)
    for number, (row, column) in enumerate(np.ndindex(side_px // (2 * edge), side_px // (2 * edge)), start=1):
        instances[2 * edge * row :, 2 * edge * column :][edge // 2 : edge // 2 + edge, edge // 2 : edge // 2 + edge] = (
            number
        )
    image = MetaTensor(torch.from_numpy((instances > 0).astype(np.float32))[None].repeat(3, 1, 1))
    return {
        "image": image,
        "instances": torch.from_numpy(instances)[None],
        "classes": torch.from_numpy((instances > 0).astype(np.uint8))[None],
    }


def crops(data: dict, count: int, **options) -> list[dict]:
    transform = RandCropAtObjectSized(KEYS, **({"diameter_px": 20, "crop_size": (96, 128)} | options))
    transform.set_random_state(seed=0)
    return [transform(data) for _ in range(count)]


@pytest.mark.parametrize("diameter_px", [8, 20, 57])
def test_objects_of_any_image_have_about_the_wanted_diameter(diameter_px):
    data = ObjectDiameterd()(scene(diameter_px))
    assert data["image"].meta["object_diameter_px"] == pytest.approx(diameter_px, rel=0.06)
    seen = []
    for crop in crops(data, 40, spread=1.8):
        assert crop["image"].shape[1:] == crop["instances"].shape[1:] == crop["classes"].shape[1:]
        assert all(side <= most for side, most in zip(crop["image"].shape[1:], (96, 128), strict=True))
        seen.append(np.max(object_diameters(crop["instances"].numpy())))  # those that no edge cuts
        covered = crop["image"][0]  # white where it is an object: labels are under their image
        assert ((covered > 0.5) == (crop["instances"][0] > 0)).float().mean() > 0.97
        assert ((crop["classes"] > 0) == (crop["instances"] > 0)).all()
    assert 20 / 1.8 * 0.9 < min(seen) < 20 / 1.4
    assert 20 * 1.4 < max(seen) < 20 * 1.8 * 1.1


def test_without_spread_every_crop_has_the_wanted_diameter():
    data = ObjectDiameterd()(scene(40))
    for crop in crops(data, 10, spread=1.0):
        assert np.max(object_diameters(crop["instances"].numpy())) == pytest.approx(20, rel=0.1)
        assert crop["image"].shape == (3, 96, 128)


def test_crops_lie_everywhere_and_repeat_with_their_seed():
    ramp = torch.arange(300.0)
    data = scene(20) | {"image": MetaTensor(torch.stack([ramp[:, None].expand(300, 300), ramp.expand(300, 300)]))}
    data = ObjectDiameterd()(data)
    first, second = crops(data, 60, spread=1.0), crops(data, 60, spread=1.0)
    assert all(torch.equal(one["image"], other["image"]) for one, other in zip(first, second, strict=True))
    lefts = [float(crop["image"][1].min()) for crop in first]
    assert min(lefts) < 10
    assert max(lefts) > 150


def test_an_image_smaller_than_the_crop_is_given_whole():
    data = ObjectDiameterd()(scene(40, side_px=80))
    (crop,) = crops(data, 1, spread=1.0)
    assert crop["image"].shape[1:] == crop["instances"].shape[1:]
    assert crop["image"].shape[1] == pytest.approx(40, abs=4)


def test_an_image_without_objects_is_taken_as_it_is():
    data = {"image": MetaTensor(torch.rand(3, 200, 200))} | {
        key: torch.zeros(1, 200, 200, dtype=torch.int32) for key in KEYS[1:]
    }
    data = ObjectDiameterd()(data)
    assert math.isnan(data["image"].meta["object_diameter_px"])
    (crop,) = crops(data, 1, spread=1.0)
    assert crop["image"].shape == (3, 96, 128)


def test_a_number_stands_for_every_image():
    data = ObjectDiameterd(object_diameter_px=35)(scene(8))
    assert data["image"].meta["object_diameter_px"] == 35
    for wrong in (0, -3, "Auto", None):
        with pytest.raises(DataError, match='object_diameter_px must be a length above 0 or "auto"'):
            ObjectDiameterd(object_diameter_px=wrong)
    with pytest.raises(ValueError, match=r"must be at least 1, got 0\.5"):
        RandCropAtObjectSized(KEYS, diameter_px=20, crop_size=(9, 9), spread=0.5)
    with pytest.raises(ValueError, match="diameter_px must be above 0"):
        RandCropAtObjectSized(KEYS, diameter_px=0, crop_size=(9, 9))
