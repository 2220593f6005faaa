"""Sides of a rectangle of pixels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Sides(NamedTuple):
    """Some of the four sides of a rectangle; by default all."""

    top: bool = True
    left: bool = True
    bottom: bool = True
    right: bool = True

    def others(self) -> Sides:
        """Give the sides that are not among these.

        >>> Sides(bottom=False).others()
        Sides(top=False, left=False, bottom=True, right=False)
        """
        return Sides(*(not side for side in self))

    def touched_by(self, labels: np.ndarray) -> np.ndarray:
        """Mark the labels of a map, int (h, w), that touch one of these sides; bool by label, from that of 0.

        >>> Sides(right=False).touched_by(np.array([[0, 0, 3], [0, 1, 3], [2, 0, 0]]))
        array([ True, False,  True,  True])
        """
        touched = np.zeros(int(labels.max()) + 1, dtype=bool)
        for is_one, edge in zip(self, (labels[0], labels[:, 0], labels[-1], labels[:, -1]), strict=True):
            if is_one:
                touched[edge] = True
        return touched
