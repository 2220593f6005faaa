import numpy as np
import torch
from skimage.color import hed2rgb, rgb2hed

from medseg_ext.transforms.stain import RandStainJitterd, scale_stains


def purple_image() -> torch.Tensor:
    return torch.rand(3, 12, 20, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.3


def test_unchanged_stains_give_the_image_back():
    image = purple_image()
    unchanged = scale_stains(image, factors=torch.ones(3), offsets=torch.zeros(3))
    torch.testing.assert_close(unchanged, image, atol=1e-5, rtol=0)


def test_scaling_a_stain_agrees_with_scikit_image():
    # Stains of white with more haematoxylin: no clipping at zero in scikit-image's own conversion.
    stains = np.zeros((4, 6, 3))
    stains[..., 0] = np.linspace(0.05, 0.2, 6)
    image = torch.from_numpy(hed2rgb(stains).transpose(2, 0, 1).astype(np.float32))
    doubled = scale_stains(image, factors=torch.tensor([2.0, 1.0, 1.0]), offsets=torch.zeros(3))
    actual = rgb2hed(doubled.numpy().transpose(1, 2, 0))
    np.testing.assert_allclose(actual[..., 0], 2 * stains[..., 0], atol=1e-3)


def test_an_offset_stains_white_as_the_published_vectors_of_the_stains_say():
    """Optical densities of red, green and blue, a row a stain: Ruifrok and Johnston 2001, in scikit-image's digits."""
    densities = torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    for stain, of_colours in enumerate(densities):
        offsets = torch.zeros(3)
        offsets[stain] = 0.5
        stained = scale_stains(torch.ones(3, 2, 4), factors=torch.ones(3), offsets=offsets)
        expected = torch.exp(-0.5 * of_colours)[:, None, None].expand(3, 2, 4)
        torch.testing.assert_close(stained, expected, atol=1e-5, rtol=0)


def test_offsets_change_what_is_unstained_and_factors_do_not():
    white = torch.ones(3, 2, 4)
    for factor_range, offset_range, unchanged in ((0.5, 0.0, True), (0.0, 0.2, False)):
        jitter = RandStainJitterd("image", prob=1.0, factor_range=factor_range, offset_range=offset_range)
        jitter.set_random_state(seed=3)
        assert torch.allclose(jitter({"image": white})["image"], white, atol=1e-3) is unchanged


def test_the_jitter_is_repeatable_and_stays_in_range():
    image = purple_image()
    results = []
    for _ in range(2):
        jitter = RandStainJitterd("image", prob=1.0, factor_range=0.5, offset_range=0.2)
        jitter.set_random_state(seed=3)
        results.append(jitter({"image": image})["image"])
    assert torch.equal(*results)
    assert not torch.allclose(results[0], image, atol=1e-2)
    assert results[0].min() >= 0
    assert results[0].max() <= 1
