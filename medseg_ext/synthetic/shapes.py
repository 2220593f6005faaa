"""Draw irregular closed outlines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Window = tuple[slice, slice]
FloatImage = NDArray[np.float32]


@dataclass(frozen=True)
class Outline:
    """A wobbly, perhaps bent, ellipse given in pixels of its image.

    Attributes:
        centre_yx: row and column of the middle, which may lie outside of the image.
        semi_axes_px: half length along `angle_rad`, and half width across it.
        angle_rad: direction of the long axis, from the column axis towards the row axis.
        bend: how far the ends turn to one side, as a share of the half width; 0 is straight.
        wobble: amplitude and phase of the second and each higher harmonic of the radius, shape (K, 2).
    """

    centre_yx: tuple[float, float]
    semi_axes_px: tuple[float, float]
    angle_rad: float = 0.0
    bend: float = 0.0
    wobble: tuple[tuple[float, float], ...] = ()

    @property
    def radius_px(self) -> float:
        """Radius of the circle of about the same area."""
        return float(np.sqrt(self.semi_axes_px[0] * self.semi_axes_px[1]))

    def moved_to(self, centre_yx: tuple[float, float]) -> Outline:
        """The same outline about another centre."""
        return replace(self, centre_yx=centre_yx)

    def scaled(self, factor: float) -> Outline:
        """The same outline, `factor` times as large, about the same centre."""
        return replace(self, semi_axes_px=(self.semi_axes_px[0] * factor, self.semi_axes_px[1] * factor))

    def reach_px(self, direction_rad: float) -> float:
        """Distance from the centre to the outline in one direction, not counting the bend."""
        angle = direction_rad - self.angle_rad
        half_length, half_width = self.semi_axes_px
        along, across = np.cos(angle) / half_length, np.sin(angle) / half_width
        return float(self._radius(np.arctan2(across, along)) / np.hypot(along, across))

    def window(self, shape: tuple[int, int], *, margin_px: float = 4.0) -> Window | None:
        """The part of an image that holds the outline, or None where the image holds nothing of it.

        Args:
            shape: height and width of the image.
            margin_px: room left around the outline.
        """
        swell = 1.0 + sum(abs(amplitude) for amplitude, _ in self.wobble) + abs(self.bend)
        room = max(self.semi_axes_px) * swell + margin_px
        slices = []
        for middle, length in zip(self.centre_yx, shape, strict=True):
            start, stop = max(0, int(middle - room)), min(length, int(middle + room) + 1)
            if start >= stop:
                return None
            slices.append(slice(start, stop))
        return slices[0], slices[1]

    def depth_px(self, window: Window) -> FloatImage:
        """How deep each pixel of a window lies inside of the outline, in pixels; negative outside.

        The distance is to first order: right near the outline, and only monotonous far from it.

        >>> Outline((5.0, 5.0), (3.0, 3.0)).depth_px((slice(5, 6), slice(5, 10)))[0, 1:].round(2)
        array([ 2.,  1.,  0., -1.], dtype=float32)
        """
        rows = np.arange(window[0].start, window[0].stop, dtype=np.float64)[:, None] - self.centre_yx[0]
        columns = np.arange(window[1].start, window[1].stop, dtype=np.float64)[None] - self.centre_yx[1]
        half_length, half_width = self.semi_axes_px
        along = (columns * np.cos(self.angle_rad) + rows * np.sin(self.angle_rad)) / half_length
        across = (rows * np.cos(self.angle_rad) - columns * np.sin(self.angle_rad)) / half_width
        across = across + self.bend * (along**2 - 0.35)
        distance = np.hypot(along, across)
        slope = np.hypot(along / half_length, across / half_width) / np.maximum(distance, 1e-6)
        slope = np.maximum(slope, 1.0 / max(half_length, half_width))
        return ((self._radius(np.arctan2(across, along)) - distance) / slope).astype(np.float32)

    def _radius(self, angle: NDArray[np.float64]) -> NDArray[np.float64]:
        radius = np.ones_like(angle)
        for order, (amplitude, phase) in enumerate(self.wobble, start=2):
            radius = radius + amplitude * np.cos(order * angle + phase)
        return radius


def irregular(
    rng: np.random.Generator,
    *,
    radius_px: float,
    elongation: float = 1.0,
    angle_rad: float | None = None,
    roughness: float = 0.06,
    bend: float = 0.0,
) -> Outline:
    """An outline at the origin with a random wobble.

    Args:
        rng: source of randomness.
        radius_px: radius of the circle of about the same area.
        elongation: length over width, 1 or more.
        angle_rad: direction of the long axis; any when None.
        roughness: amplitude of the wobble as a share of the radius; 0.05 is smooth, 0.2 ragged.
        bend: standard deviation of the bend.

    Raises:
        ValueError: a radius that is not above 0.
    """
    if radius_px <= 0:
        raise ValueError(f"radius_px must be above 0, got {radius_px}")
    stretch = float(np.sqrt(max(elongation, 1.0)))
    orders = np.arange(2, 9)
    amplitudes = rng.normal(size=orders.size) * roughness * (2.0 / orders) ** 1.8
    phases = rng.uniform(0, 2 * np.pi, size=orders.size)
    angle = float(rng.uniform(0, np.pi)) if angle_rad is None else angle_rad
    wobble = tuple((float(amplitude), float(phase)) for amplitude, phase in zip(amplitudes, phases, strict=True))
    return Outline((0.0, 0.0), (radius_px * stretch, radius_px / stretch), angle, float(rng.normal() * bend), wobble)


def cover(depth_px: FloatImage, *, edge_px: float = 1.5) -> FloatImage:
    """How much of each pixel an object covers, in [0, 1], when its edge is `edge_px` wide.

    >>> cover(np.array([-2.0, 0.0, 2.0], dtype=np.float32))
    array([0. , 0.5, 1. ], dtype=float32)
    """
    ramp = np.clip(depth_px / edge_px + 0.5, 0.0, 1.0)
    return (ramp * ramp * (3.0 - 2.0 * ramp)).astype(np.float32)


def tilt(rng: np.random.Generator, shape: tuple[int, ...], *, spread: float) -> FloatImage:
    """A plane that is 1 in the middle of a window and leans a little to one side.

    Args:
        rng: source of randomness.
        shape: height and width of the window.
        spread: standard deviation of the difference between the middle and a border.
    """
    slope = rng.normal(0, spread, size=2)
    rows = np.linspace(-1, 1, shape[0])[:, None]
    columns = np.linspace(-1, 1, shape[1])[None]
    return (1 + slope[0] * rows + slope[1] * columns).astype(np.float32)


def spots_within(
    rng: np.random.Generator, outline: Outline, *, count: int, radius_px: float, spread: float = 0.6
) -> Iterator[Outline]:
    """Small, nearly round outlines scattered over the inside of another.

    Args:
        rng: source of randomness.
        outline: the outline that the spots lie in.
        count: how many.
        radius_px: their typical radius.
        spread: how far from the centre they go, as a share of the way to the outline.
    """
    for _ in range(count):
        direction = float(rng.uniform(0, 2 * np.pi))
        distance = outline.reach_px(direction) * spread * float(np.sqrt(rng.uniform()))
        centre = (
            outline.centre_yx[0] + distance * float(np.sin(direction)),
            outline.centre_yx[1] + distance * float(np.cos(direction)),
        )
        spot = irregular(rng, radius_px=radius_px * float(rng.lognormal(0, 0.25)), elongation=1.15, roughness=0.06)
        yield spot.moved_to(centre)
