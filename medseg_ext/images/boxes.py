"""Rectangles of pixels."""

from __future__ import annotations

from typing import NamedTuple

from medseg_ext.images.sides import Sides


class Box(NamedTuple):
    """A rectangle of pixels; `bottom` and `right` lie just outside.

    >>> Box(2, 0, 5, 4).inside(Box(1, 0, 9, 9))
    (slice(1, 4, None), slice(0, 4, None))
    """

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left

    def inside(self, other: Box) -> tuple[slice, slice]:
        """Give the place of this box in an array that holds the pixels of `other`."""
        return (
            slice(self.top - other.top, self.bottom - other.top),
            slice(self.left - other.left, self.right - other.left),
        )

    def contains(self, other: Box) -> bool:
        """Say whether another box lies wholly in this one."""
        return (
            self.top <= other.top
            and self.left <= other.left
            and other.bottom <= self.bottom
            and other.right <= self.right
        )

    def sides_on_border(self, size: tuple[int, int]) -> Sides:
        """Tell which of its sides lie on the border of an image of a size (H, W).

        >>> Box(0, 3, 9, 7).sides_on_border((9, 9))
        Sides(top=True, left=False, bottom=True, right=False)
        """
        return Sides(self.top <= 0, self.left <= 0, self.bottom >= size[0], self.right >= size[1])

    def union(self, other: Box) -> Box:
        """Give the smallest box that holds both."""
        return Box(
            min(self.top, other.top),
            min(self.left, other.left),
            max(self.bottom, other.bottom),
            max(self.right, other.right),
        )

    def intersection(self, other: Box) -> Box:
        """Give what two boxes that overlap have in common."""
        return Box(
            max(self.top, other.top),
            max(self.left, other.left),
            min(self.bottom, other.bottom),
            min(self.right, other.right),
        )

    def overlaps(self, other: Box) -> bool:
        """Say whether two boxes have pixels in common."""
        return max(self.top, other.top) < min(self.bottom, other.bottom) and max(self.left, other.left) < min(
            self.right, other.right
        )

    def scaled(self, scale: tuple[float, float]) -> Box:
        """Multiply rows and columns, rounded to whole pixels: boxes that touch still do."""
        return Box(
            round(self.top * scale[0]),
            round(self.left * scale[1]),
            round(self.bottom * scale[0]),
            round(self.right * scale[1]),
        )
