"""Sliding windows that are no larger than the image."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from monai.inferers import Inferer, sliding_window_inference


class WindowInferer(Inferer):
    """Run a network by MONAI's sliding windows; a small image by a smaller window.

    MONAI's `SlidingWindowInferer` pads an image that is smaller than a window to the size of the window, which is what
    a small image then costs.

    Args:
        window_size: height and width of a window, in pixels, multiples of `divisor`.
        batch_size: windows that go through the network at once.
        overlap: part of a window that the next one sees again, at least 0 and below 1.
        divisor: sides of a window are multiples of it, as the network halves them.
        shrinks: False keeps the window's size for small images, too, as an engine made for one size wants it.

    Raises:
        ValueError: a window whose sides are no such multiples.
    """

    def __init__(
        self,
        window_size: Sequence[int],
        *,
        batch_size: int = 1,
        overlap: float = 0.25,
        divisor: int = 32,
        shrinks: bool = True,
    ) -> None:
        super().__init__()
        if any(side < divisor or side % divisor for side in window_size):
            raise ValueError(f"the sides of a window must be multiples of {divisor}, got {list(window_size)}")
        self.window_size = tuple(window_size)
        self.batch_size = batch_size
        self.overlap = overlap
        self.divisor = divisor
        self.shrinks = shrinks

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output for an image (B, C, H, W), of the image's size."""
        fitting = [
            min(window, math.ceil(side / self.divisor) * self.divisor) if self.shrinks else window
            for window, side in zip(self.window_size, inputs.shape[2:], strict=True)
        ]
        return sliding_window_inference(
            inputs,
            fitting,
            self.batch_size,
            lambda windows: network(windows, *args, **kwargs),
            overlap=self.overlap,
            mode="gaussian",
            padding_mode="replicate",
        )
