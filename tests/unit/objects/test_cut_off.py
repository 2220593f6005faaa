"""Objects that the border of an image cuts off."""

import numpy as np
import pytest
import torch
from skimage.draw import disk
from skimage.segmentation import relabel_sequential

from medseg_ext.images.sides import Sides
from medseg_ext.objects.detections import decode_detections
from medseg_ext.objects.watershed import decode_semantic
from medseg_ext.transforms import centre_distances
from medseg_ext.transforms.decoders import DecodeDetectionsd, DecodeSemanticd

SIDES = ("top", "left", "bottom", "right")


def scattered_discs(seed: int, shape: tuple[int, int] = (96, 120)) -> np.ndarray:
    """Discs that do not touch each other, many of them cut by the border."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    for number in range(1, 60):
        radius = int(rng.integers(3, 9))
        centre = rng.integers(-5, np.array(shape) + 5)
        if not labels[disk(centre, radius + 3, shape=shape)].any():
            labels[disk(centre, radius, shape=shape)] = number
    return relabel_sequential(labels)[0].astype(np.int32)


def semantic_output(labels: np.ndarray) -> torch.Tensor:
    foreground = torch.from_numpy(np.where(labels > 0, 8.0, -8.0).astype(np.float32))
    return torch.stack([-foreground, foreground, torch.logit(torch.from_numpy(centre_distances(labels)), eps=1e-4)])


def dense_output(labels: np.ndarray) -> torch.Tensor:
    foreground = (labels > 0) * 0.9
    return torch.from_numpy(np.stack([labels, 1 - foreground, foreground]).astype(np.float32))


WAYS = [
    pytest.param(decode_semantic, semantic_output, id="semantic"),
    pytest.param(decode_detections, dense_output, id="detections"),
]


def touched(labels: np.ndarray, sides: Sides) -> set[int]:
    edges = (labels[0], labels[:, 0], labels[-1], labels[:, -1])
    return {int(label) for is_one, edge in zip(sides, edges, strict=True) if is_one for label in edge} - {0}


@pytest.mark.parametrize(("decode", "output_of"), WAYS)
@pytest.mark.parametrize("seed", range(6))
def test_what_is_left_out_touches_the_border_and_is_small(decode, output_of, seed):
    labels = scattered_discs(seed)
    rng = np.random.default_rng(seed)
    border = Sides(*(bool(side) for side in rng.integers(0, 2, 4))) if seed else Sides()
    least_px = int(rng.integers(40, 160))
    found = decode(output_of(labels), min_area_px=1, min_border_area_px=least_px, border=border)
    areas = np.bincount(labels.ravel())
    small = {int(label) for label in np.flatnonzero(areas < least_px)}
    left_out = (touched(labels, border) - touched(labels, border.others())) & small
    kept = set(range(1, labels.max() + 1)) - left_out
    assert {int(label) for label in np.unique(labels[found.instances[0].numpy() > 0])} == kept
    assert found.instances.max() == len(found.scores) == len(kept)
    assert ((found.classes > 0) == (found.instances > 0)).all()
    if not seed:
        assert left_out
        assert small & kept


@pytest.mark.parametrize(("decode", "output_of"), WAYS)
def test_by_default_the_border_leaves_all(decode, output_of):
    labels = scattered_discs(3)
    assert decode(output_of(labels), min_area_px=1).instances.max() == labels.max()


@pytest.mark.parametrize(("decode", "output_of"), WAYS)
@pytest.mark.parametrize("side", SIDES)
def test_half_an_object_is_left_out_at_each_side_of_the_image_but_not_of_a_tile(decode, output_of, side):
    whole = np.zeros((41, 41), np.int32)
    whole[disk((20, 20), 9)] = 1
    middle = {"top": whole[20:], "left": whole[:, 20:], "bottom": whole[:21], "right": whole[:, :21]}[side]
    least_px = 0.8 * (whole > 0).sum()
    output = output_of(np.ascontiguousarray(middle))
    assert decode(output, min_border_area_px=least_px).instances.max() == 0
    assert decode(output, min_border_area_px=least_px, border=Sides()._replace(**{side: False})).instances.max() == 1


@pytest.mark.parametrize("decoder", [DecodeSemanticd, DecodeDetectionsd])
def test_the_transforms_pass_it_on(decoder):
    labels = np.zeros((40, 40), np.int32)
    labels[:6, 3:14], labels[20:30, 20:30] = 1, 2
    output = semantic_output(labels) if decoder is DecodeSemanticd else dense_output(labels)
    assert decoder(min_border_area_px=70)({"pred": output})["pred_instances"].max() == 1
    assert decoder(min_border_area_px=60)({"pred": output})["pred_instances"].max() == 2


@pytest.mark.parametrize(("decode", "output_of"), WAYS)
def test_an_object_that_fills_the_image_is_kept(decode, output_of):
    labels = np.ones((30, 40), np.int32)
    assert decode(output_of(labels), min_border_area_px=30 * 40).instances.min() == 1
