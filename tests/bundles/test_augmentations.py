"""What the augmentations of the bundles do to labels."""

import numpy as np
import pytest
import torch
from bundle_runs import TRAIN
from bundle_settings import BUNDLES
from monai.bundle import ConfigParser
from scipy import ndimage
from skimage import measure


@pytest.mark.parametrize("bundle", [each for each in BUNDLES if each.name.endswith("mask_rcnn")], ids=lambda b: b.name)
def test_augmentation_makes_no_new_pieces_of_objects_for_a_detector(bundle):
    # A mirrored piece would be one object with the piece that it mirrors. A semantic network learns pixels.
    parser = ConfigParser()
    parser.read_config(str(bundle / TRAIN))
    augment = parser.get_parsed_content("train#geometric_augmentation").set_random_state(seed=0)
    height, width = parser["patch_size"]
    rows, columns = np.ogrid[:height, :width]
    label = np.zeros((1, height, width), np.int32)
    for number, (row, column) in enumerate(np.ndindex(height // 40, width // 40), start=1):
        inside = (rows - 40 * row - 15) ** 2 + (columns - 40 * column - 15) ** 2 <= 15**2
        label[0][inside] = number
    item = {"image": torch.rand(3, height, width), "instances": torch.from_numpy(label)}
    item["classes"] = (item["instances"] > 0).byte()
    n_seen = 0
    for _ in range(10):
        augmented = augment(item)["instances"][0].numpy()
        assert augmented.shape == (height, width)
        for number in np.unique(augmented[augmented > 0]):
            pieces = np.bincount(measure.label(augmented == number).flatten())[1:]
            assert (pieces >= 10).sum() <= 1  # pixels at a corner may part
            n_seen += 1
    assert n_seen > 100


def test_labels_stay_under_their_image_in_every_augmentation(bundle):
    parser = ConfigParser()
    parser.read_config(str(bundle / TRAIN))
    augment = parser.get_parsed_content("train#geometric_augmentation").set_random_state(seed=0)
    side = int(1.6 * max(parser["patch_size"]))
    rows, columns = np.ogrid[:side, :side]
    disc = ((rows - side / 2) ** 2 + (columns - side / 2) ** 2 <= (side / 14) ** 2)[None]
    item = {
        "image": torch.from_numpy(disc.astype(np.float32)).repeat(3, 1, 1),
        "instances": torch.from_numpy(disc).int(),
    }
    item["classes"] = item["instances"].byte()
    shifts = []
    for _ in range(60):
        augmented = augment(item)
        image, *labels = (np.asarray(augmented[key][0], dtype=float) for key in ("image", "instances", "classes"))
        edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
        if edges.max() == 0 and image.max() > 0:  # else a part of the disc is outside
            centres = np.array([ndimage.center_of_mass(each) for each in (image, *labels)])
            shifts.append(centres[1:] - centres[0])
    assert len(shifts) > 20
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.1  # pixels
