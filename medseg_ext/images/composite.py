"""Show images of several channels in colours."""

from __future__ import annotations

import numpy as np

GREY = np.ones((1, 3), dtype=np.float32)
# Of channels in turn, as microscopes show them: two that add up to white, then those between.
COLOURS = np.array(
    [(1, 0, 1), (0, 1, 0), (0, 0.4, 1), (1, 0.6, 0), (0, 1, 1), (1, 0.2, 0.2), (0.6, 0.6, 0.6)], dtype=np.float32
)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Show an image in colours: RGB as it is, one channel in grey, others each in a colour of its own.

    Args:
        image: float (H, W, C) in [0, 1].

    Returns:
        float32 (H, W, 3) in [0, 1].
    """
    n_channels = image.shape[2]
    if n_channels == 3:
        return image
    colours = GREY if n_channels == 1 else COLOURS[np.arange(n_channels) % len(COLOURS)]
    return np.minimum(image.astype(np.float32, copy=False) @ colours, 1)
