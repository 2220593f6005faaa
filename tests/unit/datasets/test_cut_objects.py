"""Whether a truth has what the border of an image leaves of objects."""

import numpy as np
import pytest
from PIL import Image
from skimage.draw import disk

from medseg_ext.datasets.cut_objects import ENOUGH, keeps_cut_objects


def write_label_maps(folder, count: int, *, seed: int = 0, without_cut: bool = False) -> list[dict[str, str]]:
    """Discs anywhere in images of 96 x 96, with those that the border cuts or without what it leaves of them."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for index in range(count):
        labels = np.zeros((96, 96), np.uint16)
        for number, centre in enumerate(rng.integers(-8, 104, (12, 2)), start=1):
            radius = int(rng.integers(9, 12))
            whole, seen = disk(centre, radius), disk(centre, radius, shape=labels.shape)
            is_cut = len(seen[0]) < 0.8 * len(whole[0])
            if len(seen[0]) and not (is_cut and without_cut) and not labels[seen].any():
                labels[seen] = number
        Image.fromarray(labels).save(folder / f"{index}.png")
        items.append({"instances": f"{index}.png"})
    return items


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [30, 90])
def test_it_is_told_from_the_objects_at_borders(count, seed, tmp_path):
    assert keeps_cut_objects(tmp_path, write_label_maps(tmp_path, count, seed=seed)) is True
    bare = tmp_path / "bare"
    assert keeps_cut_objects(bare, write_label_maps(bare, count, seed=seed, without_cut=True)) is False


def test_few_objects_at_borders_tell_nothing_but_that_a_small_one_is_kept(tmp_path):
    labels = np.zeros((64, 64), np.uint16)
    labels[20:40, 20:40] = 1
    Image.fromarray(labels).save(tmp_path / "inner.png")
    labels[:20, :20] = 2
    Image.fromarray(labels).save(tmp_path / "large.png")
    labels[50:55, 58:] = 3
    Image.fromarray(labels).save(tmp_path / "small.png")
    labels[40:45, 58:] = 4
    Image.fromarray(labels).save(tmp_path / "smaller.png")
    Image.fromarray(np.zeros_like(labels)).save(tmp_path / "empty.png")
    for name, told in (("inner", None), ("large", None), ("empty", None), ("small", None), ("smaller", True)):
        assert keeps_cut_objects(tmp_path, [{"instances": f"{name}.png"}]) is told


def test_what_cannot_be_read_is_passed_over(tmp_path):
    items = write_label_maps(tmp_path, 10)
    (tmp_path / "broken.png").write_bytes(b"no image")
    others = [{}, None, {"instances": "missing.png"}, {"instances": "broken.png"}]
    assert keeps_cut_objects(tmp_path, others) is None
    assert keeps_cut_objects(tmp_path, [*others, *items]) is True


def test_of_many_images_no_more_are_read_than_tell_it(tmp_path, monkeypatch):
    from medseg_ext.datasets import cut_objects

    labels = np.arange(1, 101, dtype=np.uint16).reshape(10, 10)
    read = []
    monkeypatch.setattr(cut_objects, "read_labels", lambda path: read.append(path) or labels)
    keeps_cut_objects(tmp_path, [{"instances": "one.png"}] * 10_000)
    assert len(read) <= ENOUGH // 10


@pytest.mark.parametrize("seed", range(4))
def test_images_of_one_object_are_compared_with_the_others(seed, tmp_path):
    rng = np.random.default_rng(seed)
    items = {True: [], False: []}
    for index, centre in enumerate(rng.integers(-6, 70, (120, 2))):
        labels = np.zeros((64, 64), np.uint16)
        seen = disk(centre, 10, shape=labels.shape)
        labels[seen] = 1
        Image.fromarray(labels).save(tmp_path / f"{index}.png")
        items[True].append({"instances": f"{index}.png"})
        if len(seen[0]) > 0.64 * len(disk(centre, 10)[0]):
            items[False].append({"instances": f"{index}.png"})
    for kept, some in items.items():
        assert keeps_cut_objects(tmp_path, some) is kept


def test_large_and_negative_numbers_are_no_obstacle(tmp_path, monkeypatch):
    from medseg_ext.datasets import cut_objects

    labels = np.zeros((60, 60), np.int64)
    labels[20:40, 20:40] = 2**40
    for number in range(10):
        labels[6 * number : 6 * number + 5, :4] = 2**50 + number
    labels[55:, 50:] = -7
    monkeypatch.setattr(cut_objects, "read_labels", lambda path: labels)
    assert keeps_cut_objects(tmp_path, [{"instances": "one.png"}]) is True
