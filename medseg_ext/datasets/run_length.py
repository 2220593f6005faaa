"""Kaggle's run-length code of a mask: 1-based starts and lengths, down the columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def decode_run_length(code: str, *, height: int, width: int) -> NDArray[np.bool_]:
    """Draw the mask that a run-length code stands for.

    Args:
        code: `start length start length ...`; pixel 1 is the top left one, pixel 2 the one below it.
        height: rows of the mask, px.
        width: columns of the mask, px.
    Returns: bool, shape (H, W).
    Raises: ValueError: the code is not pairs of positive whole numbers, or leaves the image.
    Source: https://www.kaggle.com/competitions/data-science-bowl-2018/overview/evaluation

    >>> decode_run_length("2 3", height=2, width=2).astype(int)
    array([[0, 1],
           [1, 1]])
    """
    words = code.split()
    if len(words) % 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise ValueError(f"a run-length code is pairs of whole numbers, got {code[:40]!r}")
    pixels = np.zeros(height * width, dtype=bool)
    for start, length in zip(map(int, words[::2]), map(int, words[1::2]), strict=True):
        if start < 1 or length < 1 or start - 1 + length > pixels.size:
            raise ValueError(f"run '{start} {length}' leaves the image of {height} x {width} px")
        pixels[start - 1 : start - 1 + length] = True
    return pixels.reshape((height, width), order="F")
