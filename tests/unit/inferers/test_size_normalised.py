"""Every image is shown to the network at the scale at which its objects have the working diameter."""

import math

import numpy as np
import pytest
import tifffile
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from medseg_ext.errors import DataError
from medseg_ext.inferers.diameter_estimate import Estimate
from medseg_ext.inferers.size_normalised import LARGEST_SCALE, LEAST_SCALE, SizeNormalisedInferer
from medseg_ext.objects.diameters import noted_sizes


class Remembering(torch.nn.Module):
    """Gives its image back, and remembers the sizes of all."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, image):
        assert type(image) is torch.Tensor  # what TorchScript takes
        self.seen.append(tuple(image.shape))
        return image


def normalising(estimate=None, **options):
    def estimator(image, network):
        return None if estimate is None else Estimate(estimate, n_objects=1)

    return SizeNormalisedInferer(SimpleInferer(), working_diameter_px=20, estimator=estimator, **options)


@pytest.mark.parametrize(("estimate", "side"), [(20, 100), (40, 50), (60, 33), (10, 200), (None, 100)])
def test_the_network_sees_objects_of_the_working_diameter(estimate, side):
    network, image = Remembering(), MetaTensor(torch.rand(1, 3, 100, 100))
    output = normalising(estimate)(image, network)
    assert output.shape[2] == pytest.approx(side, abs=1)
    assert network.seen == [(1, 3, output.shape[2], output.shape[3])]
    sizes = noted_sizes(image.meta)
    assert sizes["scale"] == pytest.approx(side / 100, rel=0.02)
    assert math.isnan(sizes["object_diameter_px"]) if estimate is None else sizes["object_diameter_px"] == estimate


def test_a_given_diameter_is_not_estimated():
    def estimate(image, network):
        raise AssertionError("estimated")

    inferer = SizeNormalisedInferer(SimpleInferer(), working_diameter_px=20, object_diameter_px=40, estimator=estimate)
    assert inferer(torch.rand(1, 3, 100, 60), Remembering()).shape == (1, 3, 50, 30)


def test_the_diameter_of_the_metadata_comes_first_and_one_of_nan_is_estimated():
    image = MetaTensor(torch.rand(1, 3, 100, 100), meta={"object_diameter_px": torch.tensor([10.0])})
    assert normalising(40)(image, Remembering()).shape[2] == 200
    image = MetaTensor(torch.rand(1, 3, 100, 100), meta={"object_diameter_px": torch.tensor([math.nan])})
    assert normalising(40)(image, Remembering()).shape[2] == 50


def test_micrometres_need_the_size_of_a_pixel(tmp_path):
    told, untold = tmp_path / "told.tif", tmp_path / "untold.tif"
    pixels = np.zeros((100, 100), dtype=np.uint8)
    tifffile.imwrite(told, pixels, resolution=(1e4 / 0.25, 1e4 / 0.25), resolutionunit="CENTIMETER")
    tifffile.imwrite(untold, pixels)
    images = [MetaTensor(torch.rand(1, 3, 100, 100), meta={"filename_or_obj": [str(file)]}) for file in (told, untold)]
    inferer = normalising(object_diameter_um=10)
    assert inferer(images[0], Remembering()).shape[2] == 50  # 40 pixels of 0.25
    with pytest.raises(DataError, match="give --pixel_size_um"):
        inferer(images[1], Remembering())
    with pytest.raises(DataError, match="give --pixel_size_um"):
        inferer(torch.rand(1, 3, 100, 100), Remembering())
    for given in (0.25, [0.125, 0.5]):
        assert normalising(object_diameter_um=10, pixel_size_um=given)(images[1], Remembering()).shape[2] == 50


@pytest.mark.parametrize(
    "options",
    [
        {"object_diameter_px": 0},
        {"object_diameter_px": "large"},
        {"object_diameter_px": True},
        {"object_diameter_px": math.inf},
        {"object_diameter_um": -1},
        {"object_diameter_um": 10, "object_diameter_px": 30},
        {"object_diameter_um": 10, "pixel_size_um": "0.25um"},
        {"object_diameter_um": 10, "pixel_size_um": [0.25, 0]},
        {"object_diameter_um": 10, "pixel_size_um": [0.25, 0.25, 0.25]},
    ],
)
def test_what_is_no_size_is_refused(options):
    with pytest.raises(DataError, match=r"object_diameter|pixel_size"):
        normalising(**options)


@pytest.mark.parametrize("diameter", [0.01, 3, 7.7, 20, 33, 450, 1e6])
def test_scales_have_limits_and_lie_on_the_pixels(diameter):
    scale = normalising().scale_for(diameter)
    assert LEAST_SCALE <= scale <= LARGEST_SCALE
    assert (32 / scale) == pytest.approx(round(32 / scale))
    if 3 <= diameter <= 450:
        assert scale == pytest.approx(20 / diameter, rel=0.12)


def test_several_images_at_once_are_refused():
    with pytest.raises(ValueError, match="batch_size to 1, not 2"):
        normalising(20)(torch.rand(2, 3, 50, 50), Remembering())


def test_an_image_that_would_get_too_large_is_refused_with_the_remedy():
    with pytest.raises(DataError, match=r"to 90 megapixels.*--object_diameter_px.*--large_image_px 5624999"):
        normalising(5)(torch.zeros(1, 1, 1500, 3750), Remembering())
