import pytest
import torch
from monai.data import MetaTensor

from medseg_ext.datasets.collate import collate_same_size
from medseg_ext.errors import DataError


def item(name: str, height: int, width: int = 6) -> dict[str, object]:
    image = MetaTensor(torch.full((3, height, width), float(height)), meta={"filename_or_obj": name})
    return {"image": image, "id": name}


def test_images_of_one_size_are_stacked():
    batch = collate_same_size([item("a.png", 5), item("b.png", 5)])
    assert batch["image"].shape == (2, 3, 5, 6)
    assert batch["id"] == ["a.png", "b.png"]


def test_images_that_differ_in_size_are_named_with_the_remedy():
    message = r"a\.png \(3 x 5 x 6\) and c\.png \(3 x 7 x 6\) differ: set the dataloader's batch_size to 1"
    with pytest.raises(DataError, match=message):
        collate_same_size([item("a.png", 5), item("b.png", 5), item("c.png", 7)])
