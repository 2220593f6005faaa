"""The size of objects is estimated whatever it is, and whatever the size of the image."""

import numpy as np
import pytest
import torch
from monai.inferers import SimpleInferer
from scipy import ndimage
from skimage.segmentation import relabel_sequential

from medseg_ext.inferers.diameter_estimate import DiameterEstimator, median_diameter
from medseg_ext.objects.diameters import object_diameters
from medseg_ext.objects.objects import Objects

WORKING_PX = 20


class Threshold:
    """Makes objects of what is bright; cuts those in two that are too large for a network of `WORKING_PX`."""

    def __init__(self, largest_px=100):
        self.largest_px = largest_px
        self.seen = []

    def decode(self, output):
        grey = output.mean(dim=0).numpy()
        self.seen.append(grey.shape)
        labels, _ = ndimage.label(grey > 0.5)
        for number, box in enumerate(ndimage.find_objects(labels), start=1):
            if max(side.stop - side.start for side in box) > self.largest_px:
                pieces = (np.indices(grey.shape) // 8).sum(axis=0) * 1000 + 1000
                labels = np.where(labels == number, pieces, labels)
        areas = np.bincount(labels.ravel())
        labels[areas[labels] < 15] = 0
        labels = relabel_sequential(labels)[0]
        scores = ndimage.maximum(grey, labels, np.arange(1, labels.max() + 1)).astype(np.float32)
        return Objects(torch.from_numpy(labels[None]), torch.from_numpy((labels > 0)[None]), torch.from_numpy(scores))


def disks(diameters, side=400, spacing=2.0, seed=0):
    """Draw disks of some diameters in turn, on a jittered grid, as an image (1, 3, side, side)."""
    generator = np.random.default_rng(seed)
    image = np.zeros((side, side), dtype=np.float32)
    pitch = spacing * max(diameters)
    places = [
        (row, column) for row in np.arange(pitch / 2, side, pitch) for column in np.arange(pitch / 2, side, pitch)
    ]
    for number, (row, column) in enumerate(places):
        radius = diameters[number % len(diameters)] / 2
        row, column = row + generator.uniform(-1, 1), column + generator.uniform(-1, 1)
        box = tuple(slice(max(0, int(at - radius - 2)), int(at + radius + 3)) for at in (row, column))
        rows, columns = np.ogrid[box[0].start : min(box[0].stop, side), box[1].start : min(box[1].stop, side)]
        image[box] = np.maximum(image[box], (rows - row) ** 2 + (columns - column) ** 2 < radius**2)
    return torch.from_numpy(image)[None, None].expand(1, 3, -1, -1)


def estimate(image, **options):
    decoder = Threshold(**options)
    estimator = DiameterEstimator(inferer=SimpleInferer(), decoder=decoder, working_diameter_px=WORKING_PX)
    found = estimator(image, torch.nn.Identity())
    return None if found is None else found.diameter_px, decoder


@pytest.mark.parametrize("diameter", [7, 9, 14, 20, 33, 56, 90, 180])
@pytest.mark.parametrize("side", [200, 400, 1500])
def test_objects_of_one_size(diameter, side):
    if diameter * 2 > side:
        pytest.skip("no place for two")
    found, decoder = estimate(disks([diameter], side))
    assert found == pytest.approx(diameter, rel=0.25)
    assert max(max(shape) for shape in decoder.seen) <= 130  # every look is cheap


@pytest.mark.parametrize("side", [64, 300, 2000])
def test_one_object_that_fills_the_image(side):
    found, _ = estimate(disks([0.9 * side], side, spacing=1 / 0.9))
    assert found == pytest.approx(0.9 * side, rel=0.2)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (300, 300), (40, 1200)])
def test_an_image_without_structure(value, size):
    found, _ = estimate(torch.full((1, 3, *size), value), largest_px=200)
    # what is bright all over is one object as large as the image
    assert found is None or (value == 1 and found == pytest.approx(2 * np.sqrt(size[0] * size[1] / np.pi), rel=0.3))


@pytest.mark.parametrize("diameters", [(18, 18, 36), (18, 36, 36), (15, 15, 60), (15, 60, 60)])
def test_of_two_kinds_of_size_the_estimate_lies_between(diameters):
    found, _ = estimate(disks(diameters, 900))
    assert 0.9 * min(diameters) < found < 1.1 * max(diameters)


def test_few_small_objects_in_a_large_image_are_found_by_their_contrast():
    image = torch.zeros(1, 3, 1600, 2400)
    image[:, :, 1200:1500, 300:600] = disks([18], 300)
    found, decoder = estimate(image)
    assert found == pytest.approx(18, rel=0.25)
    assert max(max(shape) for shape in decoder.seen) <= 130


def test_looks_end_before_objects_are_cut_in_pieces():
    """A network that cannot take objects of twice its working diameter says 8 px of 40: its parts of them."""
    assert estimate(disks([60], 800), largest_px=30)[0] == pytest.approx(60, rel=0.25)


def test_specks_of_which_the_network_is_not_sure_do_not_count():
    image = disks([40], 800) + 0.8 * torch.roll(disks([10], 800, spacing=4), 20, dims=3)
    assert estimate(image.clip(0, 1))[0] == pytest.approx(40, rel=0.25)


def test_a_field_that_passes_for_one_object_from_afar_is_looked_into():
    """Some networks take any texture for an object as large as the image where they see only a few pixels of it."""

    class TakenForOne(Threshold):
        def decode(self, output):
            return super().decode(torch.ones_like(output) if max(output.shape) <= 64 else output)

    decoder = TakenForOne()
    estimator = DiameterEstimator(inferer=SimpleInferer(), decoder=decoder, working_diameter_px=WORKING_PX)
    assert estimator(disks([28], 500, spacing=1.4), torch.nn.Identity()).diameter_px == pytest.approx(28, rel=0.25)


class TakesHeaps(Threshold):
    """A network that from afar takes heaps for objects, and says so by its scores."""

    def __init__(self, reach_px):
        super().__init__()
        self.reach_px = reach_px

    def decode(self, output):
        grey = output.mean(dim=0)
        distance = ndimage.distance_transform_edt(grey.numpy() <= 0.5)
        taken = distance <= self.reach_px
        objects = super().decode(torch.from_numpy(taken.astype(np.float32))[None])
        scores = objects.scores.clone()
        if taken.any() and grey.numpy()[taken].mean() < 0.6:  # there are gaps in them
            scores[1::2] = 0.6
        return Objects(objects.instances, objects.classes, scores)


def test_heaps_of_which_the_network_is_unsure_are_looked_into():
    heap = torch.nn.functional.pad(disks([16], 63, spacing=1.3), (40, 40, 40, 40))
    image = heap.repeat(1, 1, 5, 5)
    estimator = DiameterEstimator(inferer=SimpleInferer(), decoder=TakesHeaps(1.0), working_diameter_px=WORKING_PX)
    assert estimator(image, torch.nn.Identity()).diameter_px == pytest.approx(16, rel=0.3)


@pytest.mark.parametrize("side", [1, 2])
@pytest.mark.parametrize("image_side", [2000, 2040, 2090, 2500])  # the finest look is of a scale from 2 to 4
def test_a_speck_in_a_dark_image_is_no_object(side, image_side):
    """Else the image would be scaled by eight, to more than fits."""
    image = torch.zeros(1, 3, image_side, image_side)
    image[:, :, 700 : 700 + side, 900 : 900 + side] = 1
    assert estimate(image)[0] is None


class TakesCells(Threshold):
    """A network that takes whole cells for nuclei, without any doubt, as long as it sees them a little smaller."""

    def decode(self, output):
        grey = output.mean(dim=0)
        nuclei, cells = super().decode((grey > 0.75)[None].float()), super().decode((grey > 0.25)[None].float())
        is_afar = len(cells.scores) and np.median(object_diameters(cells.instances.numpy())) < 0.8 * WORKING_PX
        return cells if is_afar else nuclei


@pytest.mark.parametrize("side", [400, 550, 700, 900, 1300, 2000])
def test_cells_that_are_taken_for_nuclei_from_afar(side):
    """As in smears, of which DSB2018 has some."""
    image = disks([16], side, spacing=6) * 0.6 + disks([66], side, spacing=96 / 66) * 0.4
    estimator = DiameterEstimator(inferer=SimpleInferer(), decoder=TakesCells(), working_diameter_px=WORKING_PX)
    assert estimator(image, torch.nn.Identity()).diameter_px == pytest.approx(16, rel=0.35)


class TakesSpheroids(Threshold):
    """A network that takes a spheroid of cells for one nucleus, though it has doubts, until it sees its nuclei well."""

    def decode(self, output):
        grey = output.mean(dim=0)
        nuclei, spheroids = super().decode((grey > 0.75)[None].float()), super().decode((grey > 0.25)[None].float())
        if len(nuclei.scores) and np.median(object_diameters(nuclei.instances.numpy())) > 0.7 * WORKING_PX:
            return nuclei
        return Objects(spheroids.instances, spheroids.classes, torch.full_like(spheroids.scores, 0.8))


@pytest.mark.parametrize("side", [400, 700, 1000, 1400])
def test_a_spheroid_that_is_taken_for_one_nucleus(side):
    """Two looks agree about it, and only a third, far finer one shows what it is."""
    spheroid = disks([200], 210, spacing=1)
    image = spheroid * (0.4 + 0.6 * disks([13], 210, spacing=1.4))
    image = torch.nn.functional.pad(image, (60, side - 270, 90, side - 300))
    estimator = DiameterEstimator(inferer=SimpleInferer(), decoder=TakesSpheroids(), working_diameter_px=WORKING_PX)
    assert estimator(image, torch.nn.Identity()).diameter_px == pytest.approx(13, rel=0.35)


def test_one_cell_in_a_large_image_is_not_taken_for_its_parts():
    """A network sees one large cell for sure, and in finer looks its parts, for sure, too."""
    image = torch.nn.functional.pad(disks([220], 230, spacing=1), (400, 700, 300, 400))
    assert estimate(image, largest_px=50)[0] == pytest.approx(220, rel=0.15)


def test_of_several_places_those_with_many_objects_decide():
    places = [disks([60], 400), disks([12], 400), disks([60], 300)]
    decoder = Threshold()
    estimator = DiameterEstimator(inferer=SimpleInferer(), decoder=decoder, working_diameter_px=WORKING_PX)
    found = [estimator(place, torch.nn.Identity()) for place in places]
    # Looks see a part, and count what they cut.
    assert found[0].n_objects < found[1].n_objects / 2 > found[2].n_objects
    assert found[1].n_objects == pytest.approx(278, rel=1.5)
    assert median_diameter(found) == found[1].diameter_px == pytest.approx(12, rel=0.3)
    assert median_diameter([]) is None
