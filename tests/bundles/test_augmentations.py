"""What the augmentations of the bundles do to labels."""

from itertools import takewhile

import numpy as np
import pytest
import torch
from bundle_runs import TRAIN
from bundle_settings import BUNDLES, one_of_each
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose
from PIL import Image
from scipy import ndimage
from skimage import measure

from medseg_ext.transforms.object_size import ObjectDiameterd


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
    item = {"image": MetaTensor(torch.rand(3, height, width)), "instances": torch.from_numpy(label)}
    item["classes"] = (item["instances"] > 0).byte()
    item = ObjectDiameterd()(item)
    n_seen = 0
    for _ in range(10):
        augmented = augment(item)["instances"][0].numpy()
        assert augmented.shape == (height, width)
        for number in np.unique(augmented[augmented > 0]):
            pieces = np.bincount(measure.label(augmented == number).flatten())[1:]
            assert (pieces >= 10).sum() <= 1  # pixels at a corner may part
            n_seen += 1
    assert n_seen > 100


@pytest.mark.parametrize("bundle", one_of_each(TRAIN, "train#preprocessing"), ids=lambda bundle: bundle.name)
def test_labels_stay_under_their_image_in_the_whole_preprocessing(bundle, tmp_path):
    """Discs of several sizes, each white in its image: from the files up to the last change of their geometry."""
    parser = ConfigParser()
    parser.read_config(str(bundle / TRAIN))
    whole = parser.get_parsed_content("train#preprocessing")
    intensity = parser.get_parsed_content("train#intensity_augmentation")
    chain = Compose(list(takewhile(lambda transform: transform is not intensity, whole.transforms)))
    chain.set_random_state(seed=0)  # Compose has seeded them anew
    torch.manual_seed(0)
    assert chain.transforms[-1] is parser.get_parsed_content("train#geometric_augmentation")
    for diameter in (13.4, 31, 52.3):
        shifts = []
        side = int(10 * diameter)
        rows, columns = np.ogrid[:side, :side]
        disc = ((rows - side / 2) ** 2 + (columns - side / 2) ** 2 <= (diameter / 2) ** 2).astype(np.uint8)
        files = {key: tmp_path / f"{key}.png" for key in ("image", "instances", "classes")}
        for key, file in files.items():
            Image.fromarray(disc * (255 if key == "image" else 1)).save(file)
        for _ in range(200):
            changed = chain({key: str(file) for key, file in files.items()})
            image, *labels = (np.asarray(changed[key][0], dtype=float) for key in files)
            edges = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
            if edges.max() == 0 and image.max() > 0:  # else a part of the disc is outside
                # A border that mirrors shows the disc more than once, and one that is cut shows less of it.
                discs, n_discs = ndimage.label(image > 0)
                whole_discs = np.flatnonzero(np.bincount(discs[image > 0.5], minlength=n_discs + 1) >= 20)
                for each_disc in whole_discs:
                    centres = [ndimage.center_of_mass(each, discs, each_disc) for each in (image, *labels)]
                    shifts.append(np.subtract(centres[1:], centres[0]))
            if len(shifts) >= 40:
                break
        assert len(shifts) >= 5
        # A label map has whole pixels, so that each disc is a little off: by chance, and not to one side.
        off, by_chance = np.mean(shifts, axis=0), np.std(shifts, axis=0, ddof=1) / len(shifts) ** 0.5
        assert (np.abs(off) < 0.05 + 3 * by_chance).all()  # pixels
        assert by_chance.max() < 0.1  # else it would see no quarter of a pixel
