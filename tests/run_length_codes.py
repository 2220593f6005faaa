"""Write masks in Kaggle's run-length code, as tables of its test set have them."""

import numpy as np
from numpy.typing import NDArray


def encode_run_length(mask: NDArray[np.bool_]) -> str:
    """Write a mask as `start length start length ...`.

    Args:
        mask: bool, shape (H, W).
    Returns: the code; empty for an empty mask.

    >>> encode_run_length(np.array([[0, 1], [1, 1]], dtype=bool))
    '2 3'
    """
    pixels = np.concatenate([[False], mask.ravel(order="F"), [False]])
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    changes[1::2] -= changes[::2]
    return " ".join(map(str, changes))
