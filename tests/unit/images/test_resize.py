"""Images and label maps stay in register, whatever the zoom."""

import numpy as np
import pytest
import torch

from medseg_ext.images.resize import resize_image, resize_labels, resized_instances, scaled_size, smooth_labels

SIDE_PX = 240
ZOOMS = [1 / 4, 1 / 3, 0.5, 0.7, 1.0, 1.3, 2.0, 3.0]


def disks(radius_px: float = 14, spacing_px: int = 40) -> np.ndarray:
    """Draw disks whose centres lie at any fraction of a pixel, int32 (SIDE_PX, SIDE_PX)."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5
    labels = np.zeros((SIDE_PX, SIDE_PX), dtype=np.int32)
    for number, (row, column) in enumerate(np.argwhere(np.ones((6, 6))) * spacing_px + spacing_px / 2, start=1):
        shift = generator.uniform(-2, 2, size=2)
        labels[(rows - row - shift[0]) ** 2 + (columns - column - shift[1]) ** 2 < radius_px**2] = number * 100
    return labels


def centres_and_areas(labels: np.ndarray, zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """Give the centres, in pixels before the zoom, and the areas, likewise, of each label."""
    numbers = np.unique(labels)[1:]
    centres = [(np.argwhere(labels == number) + 0.5).mean(axis=0) / zoom for number in numbers]
    return np.array(centres), np.array([(labels == number).sum() / zoom**2 for number in numbers])


@pytest.mark.parametrize("zoom", ZOOMS)
@pytest.mark.parametrize("resize", [resize_labels, resized_instances])
def test_objects_neither_shift_nor_shrink(zoom, resize):
    labels = disks()
    size = scaled_size(labels.shape, zoom)
    if resize is resize_labels:
        zoomed = resize_labels(torch.from_numpy(labels)[None], size)[0].numpy()
    else:
        zoomed = resized_instances(labels, size)
    assert zoomed.shape == size
    assert zoomed.dtype == labels.dtype
    assert np.array_equal(np.unique(zoomed), np.unique(labels))
    before, after = centres_and_areas(labels, 1), centres_and_areas(zoomed, size[0] / SIDE_PX)
    assert np.abs((after[0] - before[0]).mean(axis=0)).max() < 0.1
    assert (after[1] / before[1]).mean() == pytest.approx(1, abs=0.015)


@pytest.mark.parametrize("zoom", ZOOMS)
def test_a_label_map_stays_under_its_image(zoom):
    labels = torch.from_numpy((disks() > 0).astype(np.int32))[None]
    size = scaled_size((SIDE_PX, SIDE_PX), zoom)
    image = resize_image(labels.float(), size)
    errors = {}
    for shift in (-1, 0, 1):
        for axis in (1, 2):
            moved = resize_labels(labels, size).roll(shift, axis)
            errors[shift, axis] = float((moved - image).abs().mean())
    assert min(errors, key=errors.get)[0] == 0
    assert ((resize_labels(labels, size) > 0) == (image > 0.5)).float().mean() > 0.98


def test_stripes_finer_than_the_new_pixels_become_their_mean_up_to_the_edge():
    stripes = torch.zeros(3, 64, 64)
    stripes[:, :, ::4] = 1
    resized = resize_image(stripes, (16, 16))
    torch.testing.assert_close(resized, torch.full((3, 16, 16), 0.25), atol=0.08, rtol=0)
    torch.testing.assert_close(resize_image(torch.ones(3, 64, 64), (7, 16)), torch.ones(3, 7, 16))


def test_what_has_the_size_is_not_touched():
    image, labels = torch.rand(3, 7, 9), torch.ones(1, 7, 9, dtype=torch.int32)
    assert resize_image(image, (7, 9)) is image
    assert resize_labels(labels, (7, 9)) is labels


@pytest.mark.parametrize(("old", "new"), [((1, 1), (5, 3)), ((1, 40), (1, 3)), ((9, 2), (2, 9)), ((3, 3), (1, 1))])
def test_the_smallest_maps_have_the_size_and_no_new_values(old, new):
    labels = torch.arange(1, 1 + old[0] * old[1], dtype=torch.int32).reshape(1, *old)
    resized = resize_labels(labels, new)
    assert resized.shape == (1, *new)
    assert set(resized.unique().tolist()) <= set(labels.unique().tolist())
    assert resized_instances(labels[0].numpy(), new).shape == new


def test_touching_objects_stay_two_with_a_smooth_outline_between():
    labels = np.zeros((20, 20), dtype=np.int32)
    labels[4:16, 2:10], labels[4:16, 10:18] = 1, 2
    smooth = smooth_labels(labels, (60, 60))
    for number, columns in ((1, slice(6, 30)), (2, slice(30, 54))):
        inside = np.zeros((60, 60), dtype=bool)
        inside[12:48, columns] = True
        assert ((smooth == number) != inside).sum() <= 4  # rounded corners
    disk = (np.add.outer((np.arange(20) - 9.5) ** 2, (np.arange(20) - 9.5) ** 2) < 49).astype(np.int32)
    true = np.add.outer((np.arange(120) - 59.5) ** 2, (np.arange(120) - 59.5) ** 2) < (7 * 6) ** 2
    ious = [
        ((each > 0) & true).sum() / ((each > 0) | true).sum()
        for each in (smooth_labels(disk, (120, 120)), np.kron(disk, np.ones((6, 6), dtype=int)))
    ]
    assert ious[0] > ious[1] + 0.01


def test_the_edge_of_the_image_closes_no_object():
    labels = np.zeros((8, 8), dtype=np.int32)
    labels[:, 6:] = 3
    assert (smooth_labels(labels, (24, 24))[:, 18:] == 3).all()
