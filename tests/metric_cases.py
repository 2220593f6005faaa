"""Label maps whose scores can be worked out by hand, and the scenes as tensors."""

import torch
from metric_scenes import SCENES
from torch import Tensor


def square(*, column: int = 6) -> Tensor:
    """One 10 x 10 object on an image of 20 rows and 30 columns."""
    label_map = torch.zeros(20, 30, dtype=torch.int32)
    label_map[4:14, column : column + 10] = 1
    return label_map


def halved_square() -> Tensor:
    """The object of `square()`, cut into two halves."""
    label_map = square()
    label_map[4:14, 11:16] = 2
    return label_map


def empty() -> Tensor:
    """An image of the size of `square()` without objects."""
    return torch.zeros_like(square())


def scene(name: str) -> tuple[Tensor, Tensor]:
    """The predicted and the true label map of a scene."""
    pred, true = SCENES[name]
    return torch.from_numpy(pred), torch.from_numpy(true)
