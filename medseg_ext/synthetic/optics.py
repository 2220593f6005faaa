"""Model what a microscope and its camera do to a picture."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from medseg_ext.synthetic.shapes import FloatImage

Colour = tuple[float, float, float]  # RGB in [0, 1]


def illumination(rng: np.random.Generator, shape: tuple[int, int], *, falloff: float = 0.15) -> FloatImage:
    """Light that is brightest somewhere near the middle of the image.

    Args:
        rng: source of randomness.
        shape: height and width.
        falloff: typical loss of light in the farthest corner, in [0, 1).

    Returns:
        Shape (H, W), at most 1.
    """
    peak = rng.uniform(0.25, 0.75, size=2)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]].astype(np.float32)
    distance = np.hypot(rows / shape[0] - peak[0], columns / shape[1] - peak[1])
    loss = falloff * float(rng.uniform(0.5, 1.3))
    return (1.0 - loss * (distance / distance.max()) ** 2).astype(np.float32)


def defocus(image: FloatImage, *, sigma_px: float) -> FloatImage:
    """Blur rows and columns, not channels.

    Args:
        image: shape (H, W) or (H, W, C).
        sigma_px: standard deviation of the blur; 0 leaves the image as it is.
    """
    sigma = (sigma_px, sigma_px) + (0.0,) * (image.ndim - 2)
    return ndimage.gaussian_filter(image.astype(np.float32), sigma, mode="reflect")


def expose(rng: np.random.Generator, image: FloatImage, *, photons: float, read_noise: float) -> FloatImage:
    """Add shot noise, which grows with the light, and read noise, which does not.

    Args:
        rng: source of randomness.
        image: light in [0, 1], any shape.
        photons: how many photons full light is; the fewer, the noisier.
        read_noise: standard deviation, as a share of full light.
    """
    counted = rng.poisson(np.clip(image, 0.0, None) * photons) / photons
    return (counted + rng.normal(0.0, read_noise, size=image.shape)).astype(np.float32)


def quantise(image: FloatImage) -> NDArray[np.uint8]:
    """Light in [0, 1] as 8 bit; what is above or below is clipped.

    >>> quantise(np.array([-0.1, 0.5, 1.2], dtype=np.float32))
    array([  0, 128, 255], dtype=uint8)
    """
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def compress(image: NDArray[np.uint8], *, quality: int) -> NDArray[np.uint8]:
    """The image as it comes back from a JPEG file.

    Args:
        image: RGB, shape (H, W, 3).
        quality: JPEG quality, 1 to 95.
    """
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, format="JPEG", quality=quality)
    return np.array(Image.open(stream).convert("RGB"))


def transmit(light: FloatImage | Colour, layers: list[tuple[FloatImage, Colour]]) -> FloatImage:
    """Light that is left after layers of stain, by the law of Beer and Lambert.

    Args:
        light: RGB of the empty slide in [0, 1], shape (3,) or (H, W, 3).
        layers: for each stain its amount, shape (H, W), and the RGB colour in (0, 1] that light turns to under an
            amount of 1, relative to the empty slide.

    Returns:
        RGB in [0, 1], shape (H, W, 3).
    """
    density: FloatImage | float = 0.0
    for amount, colour in layers:
        density = density + amount[..., None] * -np.log(np.asarray(colour, dtype=np.float32))
    return (np.asarray(light, dtype=np.float32) * np.exp(-density)).astype(np.float32)
