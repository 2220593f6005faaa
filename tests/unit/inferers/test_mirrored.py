import pytest
import torch
from monai.inferers import SimpleInferer

from medseg_ext.inferers.mirrored import MirroredInferer


def to_the_right(image: torch.Tensor) -> torch.Tensor:
    """A network that is not symmetric: it moves everything by one pixel to the right."""
    return image.roll(1, dims=3)


def test_the_mirror_images_are_mirrored_back_and_averaged():
    image = torch.zeros(1, 1, 3, 5)
    image[0, 0, 1, 2] = 1
    output = MirroredInferer(SimpleInferer())(image, to_the_right)
    expected = torch.zeros(1, 1, 3, 5)
    expected[0, 0, 1, [1, 3]] = 0.5  # the mirrored ones move to the left
    assert torch.equal(output, expected)


@pytest.mark.parametrize(("enabled", "calls"), [(True, 4), (False, 1)])
def test_it_runs_the_network_once_an_image(enabled, calls):
    sizes = []

    def network(image: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(image.shape))
        return 2 * image

    image = torch.rand(2, 3, 4, 6)
    torch.testing.assert_close(MirroredInferer(SimpleInferer(), enabled=enabled)(image, network), 2 * image)
    assert sizes == [(2, 3, 4, 6)] * calls
