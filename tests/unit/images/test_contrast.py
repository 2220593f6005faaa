"""Images are stretched to their contrast, and noise is not."""

import numpy as np
import pytest
import tifffile
import torch
from empty_images import as_jpeg, empty_images
from monai.transforms import ScaleIntensityRangePercentiles
from scipy.ndimage import gaussian_filter

from medseg_ext.images import contrast as contrast_module
from medseg_ext.images.blocks import open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.contrast import find_contrast
from medseg_ext.images.read import read_rgb
from medseg_ext.transforms.contrast import StretchContrastd

PERCENTAGES = (0.1, 99.9)
EMPTY = empty_images()
ROWS, COLUMNS = np.mgrid[:160, :192]
NUCLEI = np.zeros((160, 192))
for row, column, brightness in ((30, 40, 1), (40, 120, 0.6), (90, 80, 0.8), (120, 150, 0.5), (130, 30, 0.9)):
    NUCLEI = np.maximum(NUCLEI, brightness * ((ROWS - row) ** 2 + (COLUMNS - column) ** 2 < 10**2))
NUCLEI = gaussian_filter(NUCLEI, 1)


def limits_of(pixels):
    pixels = np.asarray(pixels, np.float32)
    pixels = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    whole = Box(0, 0, *pixels.shape[:2])
    found = find_contrast(lambda box: pixels[box.inside(whole)], whole.size, PERCENTAGES)
    return found.black, found.white


@pytest.fixture
def image_of(tmp_path):
    def read(pixels):
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
        return read_rgb(tmp_path / "a.tif")

    return read


@pytest.mark.parametrize("name", EMPTY)
def test_noise_and_slopes_are_left_flat(name, image_of):
    image = image_of(EMPTY[name])
    black, white = limits_of(image)
    span = np.diff(np.percentile(image, PERCENTAGES))[0]
    assert span <= (white - black) / contrast_module.FLATTENED * 1.001


@pytest.mark.parametrize("shade", [235, (238, 236, 240)], ids=["grey", "pale"])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("quality", [50, 60, 70, 75, 80, 85, 90, 95])
def test_what_jpeg_makes_of_the_noise_of_empty_glass_is_left_flat(quality, subsampling, shade):
    random = np.random.default_rng(0)
    for side in (256, 512):
        for deviation in (1, 1.5, 2, 3):
            noise = random.normal(0, deviation, (side, side, *np.shape(shade)))
            image = as_jpeg(np.rint(shade + noise).astype(np.uint8), quality, subsampling) / 255
            black, white = limits_of(image)
            assert white - black >= 0.99 * contrast_module.FLATTENED * np.diff(np.percentile(image, PERCENTAGES))[0]


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("deviation", [0, 1])
def test_dim_nuclei_in_a_jpeg_get_full_contrast(quality, subsampling, deviation):
    noise = np.random.default_rng(0).normal(0, deviation, (*NUCLEI.shape, 3))
    pixels = np.rint(np.array([238, 236, 240]) - 25 * NUCLEI[..., None] + noise).astype(np.uint8)
    image = as_jpeg(pixels, quality, subsampling) / 255
    black, white = limits_of(image)
    assert white - black < 1.1 * np.diff(np.percentile(image, PERCENTAGES))[0]


@pytest.mark.parametrize("size", [(400, 500), (800, 1000), (1536, 2040)])
def test_a_text_and_a_scale_bar_in_the_image_do_not_make_noise_of_large_blurred_cells(size):
    random = np.random.default_rng(0)
    cells = np.zeros(size)
    for row in range(60, size[0] - 60, 160):
        for column in range(60, size[1] - 60, 160):
            cells[row - 40 : row + 40, column - 40 : column + 40] = 60
    pixels = 200 - gaussian_filter(cells, 12) + gaussian_filter(random.normal(0, 2, size), 0.7)
    width = int(0.01 * pixels.size / 20)  # finer than letters, on a hundredth of the image
    pixels[-40:-20, -20 - width : -20] = 255 * random.integers(0, 2, (20, width))
    image = as_jpeg(np.rint(pixels).clip(0, 255).astype(np.uint8), 90, 0) / 255
    black, white = limits_of(image)
    assert white - black < 1.01 * np.diff(np.percentile(image, PERCENTAGES))[0]


@pytest.mark.parametrize("of_range", [0.03, 0.05, 0.1, 0.2, 1])
@pytest.mark.parametrize("sign", [1, -1])
def test_dim_nuclei_get_full_contrast(of_range, sign):
    image = np.rint(120 + sign * of_range * 120 * NUCLEI + 0.0) / 255
    assert limits_of(image) == pytest.approx(tuple(np.percentile(image, PERCENTAGES)), rel=1e-5)


@pytest.mark.parametrize("deviation", [0.3, 0.5, 1])
def test_dim_nuclei_in_noise_are_not_taken_for_noise(deviation):
    noise = np.random.default_rng(0).normal(0, deviation, NUCLEI.shape)
    image = np.rint(100 + 8 * NUCLEI + noise) / 255
    black, white = limits_of(image)
    assert white - black < 1.5 * np.diff(np.percentile(image, PERCENTAGES))[0]


def test_noise_around_a_few_nuclei_gets_a_tenth_of_the_range_at_most():
    image = np.random.default_rng(0).normal(100, 2, (600, 600))
    image[100:110, 300:310] += 60  # less than a thousandth of the image
    black, white = limits_of(image / 255)
    assert (white - black) * 255 == pytest.approx(10 * 2, rel=0.05)


@pytest.mark.parametrize(("factor", "offset"), [(1e-6, 0), (1000, 0), (1, -0.5)])
@pytest.mark.parametrize("nuclei", [0, 1])
def test_the_scale_of_floats_does_not_matter(factor, offset, nuclei):
    image = 0.3 + nuclei * NUCLEI + np.random.default_rng(0).normal(0, 0.01, NUCLEI.shape)
    expected = [factor * (limit + offset) for limit in limits_of(image)]
    assert limits_of(factor * (image + offset)) == pytest.approx(expected, rel=1e-3, abs=1e-3 * factor)


def test_an_image_with_objects_is_stretched_as_by_monai():
    image = torch.as_tensor(np.stack([NUCLEI, 0.5 * NUCLEI, 1 - NUCLEI]), dtype=torch.float32)
    expected = ScaleIntensityRangePercentiles(*PERCENTAGES, b_min=0.0, b_max=1.0, clip=True)(image)
    found = StretchContrastd("image", lower=PERCENTAGES[0], upper=PERCENTAGES[1])({"image": image})["image"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 2), (7, 9), (24, 24), (23, 60)])
def test_small_images_have_limits(shape):
    image = np.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    black, white = limits_of(image)
    assert black <= image.mean() <= white


@pytest.mark.parametrize("name", ["u32_counts", "small_floats", "hot_pixel", "uint8", "empty"])
def test_an_image_read_in_blocks_has_the_limits_of_the_whole(tmp_path, monkeypatch, name):
    random = np.random.default_rng(0)
    counts = random.poisson(50 + 3000 * NUCLEI)
    pixels = {
        "u32_counts": counts.astype(np.uint32),
        "small_floats": (counts * 1e-9).astype(np.float32),
        "hot_pixel": np.where((ROWS == 3) & (COLUMNS == 5), 1e6, counts).astype(np.float32),
        "uint8": (counts // 20).clip(0, 255).astype(np.uint8),
        "empty": random.integers(232, 244, NUCLEI.shape).astype(np.uint8),
    }[name]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", tile=(32, 32))
    monkeypatch.setattr(contrast_module, "PLACE_PX", 64)  # else the image is one part
    expected = limits_of(read_rgb(tmp_path / "a.tif"))
    with pixel_io():
        image = open_block_image(tmp_path / "a.tif")
        found = find_contrast(image.read, image.size, PERCENTAGES)
    assert (found.black, found.white) == expected


@pytest.mark.parametrize(
    ("size", "regions"), [((6, 6), 9), ((3, 2), 6), ((1, 40), 9), ((40, 1), 9), ((2, 30), 8), ((30, 2), 8), ((1, 1), 1)]
)
def test_places_are_spread_over_an_image_however_narrow_it_is(size, regions, monkeypatch):
    """A pen's mark shows most, and is typical of nothing."""
    monkeypatch.setattr(contrast_module, "PLACE_PX", 16)
    height, width = 16 * size[0], 16 * size[1]
    pixels = np.random.default_rng(0).normal(0.5, 0.1, (height, width, 1)).astype(np.float32)
    pixels[:16] = np.random.default_rng(1).normal(0.5, 0.15, (16, width, 1))
    places = find_contrast(lambda box: pixels[box.inside(Box(0, 0, height, width))], (height, width), (0, 100)).places
    assert len(set(places)) == len(places) == regions
    for axis, length in ((0, height), (1, width)):
        starts = {place[axis] for place in places}
        assert max(starts) - min(starts) >= length / 3 or length <= 96
    assert sum(place.top == 0 for place in places) < max(2, len(places)) or size[0] == 1
