import numpy as np
import pytest
import torch

from medseg_ext.transforms.targets import SemanticTargetd, object_boundaries


def touching_squares() -> np.ndarray:
    instances = np.zeros((8, 12), np.int32)
    instances[1:7, 1:6] = 1
    instances[1:7, 6:11] = 2
    return instances


def test_two_touching_objects_are_parted_by_a_line():
    instances = touching_squares()
    boundary = object_boundaries(instances)
    assert boundary[3, 5]
    assert boundary[3, 6]
    assert not boundary[3, 3]
    assert not boundary[instances == 0].any()


def test_the_edge_of_the_image_closes_no_object():
    instances = np.ones((6, 6), np.int32)
    assert not object_boundaries(instances).any()


def test_a_wider_boundary_holds_the_narrower():
    narrow, wide = (object_boundaries(touching_squares(), width_px=width) for width in (1, 2))
    assert (wide | ~narrow).all()
    assert wide.sum() > narrow.sum()


def test_boundaries_do_not_depend_on_the_numbers_of_objects():
    instances = touching_squares()
    renumbered = np.where(instances == 1, 300, np.where(instances == 2, 7, 0))
    assert (object_boundaries(instances) == object_boundaries(renumbered)).all()


def test_a_width_below_one_pixel_is_refused():
    with pytest.raises(ValueError, match="width_px"):
        object_boundaries(touching_squares(), width_px=0)


def test_the_target_holds_classes_and_boundaries():
    instances = torch.from_numpy(touching_squares())[None]
    classes = (instances > 0).to(torch.uint8) * 2
    target = SemanticTargetd()({"instances": instances, "classes": classes})["label"]
    assert target.shape == (2, 8, 12)
    assert target.dtype == torch.float32
    assert (target[0] == classes[0]).all()
    assert set(target[1].unique().tolist()) == {0, 1}
