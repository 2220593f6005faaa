import numpy as np
import pytest
import torch

from medseg_ext.transforms.targets import SemanticTargetd, centre_distances


def touching_squares() -> np.ndarray:
    instances = np.zeros((9, 14), np.int32)
    instances[1:8, 0:7] = 1
    instances[1:8, 7:14] = 2
    return instances


def test_two_touching_objects_have_a_valley_between():
    distances = centre_distances(touching_squares()[:, 1:13])
    assert distances[4].tolist() == pytest.approx([1, 1, 1, 0.75, 0.5, 0.25, 0.25, 0.5, 0.75, 1, 1, 1])
    assert distances[0].tolist() == [0] * 12


@pytest.mark.parametrize("edge", range(4))
def test_the_edge_of_the_image_closes_no_object(edge):
    half = np.rot90(np.pad(np.ones((20, 9), np.int32), ((0, 5), (3, 3))), edge)
    distances = np.rot90(centre_distances(half), -edge)
    assert (distances[0, 3:12] == distances[1, 3:12]).all()  # it goes on beyond the first row
    assert distances.argmax() // 15 == 0
    assert (centre_distances(np.ones((6, 6), np.int32)) > 0).all()


@pytest.mark.parametrize("factor", [2, 5])
def test_an_object_is_as_deep_whatever_its_size(factor):
    small = np.pad(np.ones((7, 7), np.int32), 4)
    large = np.kron(small, np.ones((factor, factor), np.int32))
    profiles = [centre_distances(each)[len(each) // 2] for each in (small, large)]
    places = [(np.arange(len(profile)) + 0.5) / len(profile) for profile in profiles]
    assert np.abs(np.interp(places[0], places[1], profiles[1]) - profiles[0])[4:11].max() < 0.15
    assert [profile.max() for profile in profiles] == [1, 1]


def test_distances_do_not_depend_on_the_numbers_of_objects():
    instances = touching_squares()
    renumbered = np.where(instances == 1, 300, np.where(instances == 2, 7, 0))
    assert (centre_distances(instances) == centre_distances(renumbered)).all()


def test_a_part_of_an_object_behind_another_is_as_deep_as_it_is():
    instances = touching_squares()
    instances[:, 10:] = 1  # a piece at the other end
    distances = centre_distances(instances)
    assert 0 < distances[4, 12] <= 1
    assert (distances[instances > 0] > 0).all()


def test_the_target_holds_classes_and_distances():
    instances = torch.from_numpy(touching_squares())[None]
    classes = (instances > 0).to(torch.uint8) * 2
    target = SemanticTargetd()({"instances": instances, "classes": classes})["label"]
    assert target.shape == (2, 9, 14)
    assert target.dtype == torch.float32
    assert (target[0] == classes[0]).all()
    assert (target[1].numpy() == centre_distances(touching_squares())).all()
