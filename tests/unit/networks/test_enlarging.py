import pytest
import torch
from torch import nn

from medseg_ext.networks.enlarging import Enlarging
from medseg_ext.networks.unet_plus_plus import UNetPlusPlus


class Sees(nn.Module):
    """Keeps the image it got, and gives it back, in training thrice."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image):
        self.seen = image
        return [image * self.scale] * 3 if self.training else image * self.scale


def smooth_image(height: int, width: int) -> torch.Tensor:
    rows, columns = torch.meshgrid(torch.linspace(0, 3, height), torch.linspace(0, 3, width), indexing="ij")
    return torch.stack([rows.sin(), columns.cos(), rows * columns])[None]


@pytest.mark.parametrize(
    ("enlargement", "shape", "seen"),
    [(1.5, (64, 128), (96, 192)), (1.5, (96, 32), (160, 64)), (1.001, (64, 64), (96, 96)), (2, (64, 96), (128, 192))],
)
def test_the_network_sees_an_enlarged_image_of_fitting_sides(enlargement, shape, seen):
    network = Enlarging(Sees(), enlargement=enlargement).eval()
    image = smooth_image(*shape)
    output = network(image)
    assert tuple(network.network.seen.shape) == (1, 3, *seen)
    # There and back: the same image but for what interpolation smooths.
    assert output.shape == image.shape
    torch.testing.assert_close(output, image, rtol=0, atol=0.06)


def test_every_output_of_training_is_brought_back():
    network = Enlarging(Sees(), enlargement=1.5).train()
    outputs = network(smooth_image(64, 32))
    assert [tuple(output.shape) for output in outputs] == [(1, 3, 64, 32)] * 3
    sum(output.sum() for output in outputs).backward()
    assert network.network.scale.grad != 0


def test_without_enlargement_the_network_sees_the_image_itself():
    network = Enlarging(Sees()).eval()
    image = smooth_image(50, 30)  # of sides that are no multiples
    network(image)
    assert network.network.seen is image


@pytest.mark.parametrize("enlargement", [0.5, float("nan")])
def test_an_enlargement_below_one_is_refused(enlargement):
    with pytest.raises(ValueError, match="enlargement must be at least 1"):
        Enlarging(Sees(), enlargement=enlargement)


def test_the_scripted_network_gives_the_same_and_leaves_the_network_as_it_was():
    torch.manual_seed(0)
    network = Enlarging(UNetPlusPlus(3, 2, features=(8, 8, 8, 8, 8, 8)), enlargement=1.5).eval()
    scripted = torch.jit.script(network)
    for shape in [(64, 96), (32, 160)]:
        image = smooth_image(*shape)
        with torch.no_grad():
            torch.testing.assert_close(scripted(image), network(image))
    assert len(network.train()(smooth_image(64, 64))) == 4
