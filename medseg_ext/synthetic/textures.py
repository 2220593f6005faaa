"""Draw random textures with zero mean and unit variance."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from medseg_ext.synthetic.shapes import FloatImage


def grain(rng: np.random.Generator, shape: tuple[int, int], *, scale_px: float) -> FloatImage:
    """Blobs of one size.

    Args:
        rng: source of randomness.
        shape: height and width.
        scale_px: standard deviation of the blur that makes the blobs.
    """
    step = max(1, int(scale_px // 3))  # coarse blobs are drawn small and enlarged
    small = (shape[0] // step + 4, shape[1] // step + 4)
    noise = ndimage.gaussian_filter(rng.standard_normal(small, dtype=np.float32), scale_px / step, mode="wrap")
    if step > 1:
        noise = ndimage.zoom(noise, step, order=3)
    return _standardised(noise[: shape[0], : shape[1]])


def clouds(rng: np.random.Generator, shape: tuple[int, int], *, roughness: float = 1.5) -> FloatImage:
    """Structure on all scales.

    Args:
        rng: source of randomness.
        shape: height and width.
        roughness: exponent by which amplitude falls with frequency; 1 is rough, 2 is smooth.
    """
    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) / frequency**roughness
    return _standardised(np.fft.irfft2(spectrum, s=shape).astype(np.float32))


def fibres(
    rng: np.random.Generator,
    shape: tuple[int, int],
    *,
    angle_rad: float,
    length_px: float = 30.0,
    width_px: float = 1.5,
    waviness_px: float = 12.0,
) -> FloatImage:
    """Wavy strands that run in one direction.

    Args:
        rng: source of randomness.
        shape: height and width.
        angle_rad: their direction, from the column axis towards the row axis.
        length_px: how long strands are.
        width_px: how wide they are.
        waviness_px: how far they stray from straight lines.
    """
    extent = int(np.hypot(*shape)) + 8
    canvas = rng.standard_normal((extent, extent), dtype=np.float32)
    canvas = ndimage.gaussian_filter(canvas, (width_px, length_px), mode="wrap")
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    stray = waviness_px * grain(rng, shape, scale_px=0.18 * min(shape))
    along = columns * np.cos(angle_rad) + rows * np.sin(angle_rad)
    across = rows * np.cos(angle_rad) - columns * np.sin(angle_rad) + stray
    return _standardised(ndimage.map_coordinates(canvas, [across, along], order=1, mode="grid-wrap"))


def _standardised(noise: FloatImage) -> FloatImage:
    return ((noise - noise.mean()) / (noise.std() + 1e-9)).astype(np.float32)
