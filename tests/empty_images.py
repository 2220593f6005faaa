"""Images that show no object: empty glass and dark frames, as cameras and files make them."""

import io

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

HEIGHT, WIDTH = 160, 192


def empty_images() -> dict[str, np.ndarray]:
    """Draw them; grey (H, W) or RGB (H, W, 3) of several types."""
    random = np.random.default_rng(1)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    vignette = 1 - 0.5 * (((rows - HEIGHT / 2) / WIDTH) ** 2 + ((columns - WIDTH / 2) / WIDTH) ** 2)

    def noise(deviation, *channels):
        return random.normal(0, deviation, (HEIGHT, WIDTH, *channels))

    pale = np.array([238, 236, 240])
    dusty = 238 + noise(1.5)
    for row, column in random.integers(5, 150, (4, 2)):
        dusty[row : row + 2, column : column + 2] -= 40
    hot = _levels(100 + noise(6), 4095)
    hot.flat[random.choice(hot.size, 10)] = 4000
    return {
        "glass, 12 levels": random.integers(232, 244, (HEIGHT, WIDTH)).astype(np.uint8),
        "glass, 12 levels, colours": random.integers(232, 244, (HEIGHT, WIDTH, 3)).astype(np.uint8),
        "glass": _levels(238 + noise(1), 255),
        "glass, noisy": _levels(225 + noise(4, 3), 255),
        "glass, tinted": _levels([240, 235, 238] + noise(2, 3), 255),
        "glass, vignette": _levels(235 * vignette + noise(2), 255),
        "glass, vignette, colours": _levels(pale * vignette[..., None] + noise(1.5, 3), 255),
        "glass, vignette, 16 bits": _levels(60000 * vignette + noise(300), 65535),
        "glass, JPEG 75": as_jpeg(_levels(pale + noise(2.5, 3), 255), 75),
        "glass, JPEG 90": as_jpeg(_levels(pale + noise(2.5, 3), 255), 90),
        "glass, vignette, JPEG": as_jpeg(_levels(pale * vignette[..., None] + noise(2.5, 3), 255), 85),
        "glass, colour filter": _levels(238 + gaussian_filter(noise(4, 3), (0.7, 0.7, 0)), 255),
        "glass, blurred noise": _levels(238 + gaussian_filter(noise(12), 1), 255),
        "glass, dust": _levels(dusty, 255),
        "dark, 8 bits": _levels(8 + noise(2), 255),
        "dark, a fifth of a level": _levels(3 + noise(0.2), 255),
        "dark, 12 bits": _levels(100 + noise(6), 4095),
        "dark, 16 bits, stripes": _levels(500 + noise(20) + random.normal(0, 8, (1, WIDTH)), 65535),
        "dark, hot pixels": hot,
        "dark, float": (0.1 + noise(1e-3)).astype(np.float32),
        "dark, float counts": (1000 + noise(10)).astype(np.float32),
        "photons, one a pixel": random.poisson(1, (HEIGHT, WIDTH)).astype(np.uint8),
        "photons, one in twenty pixels": random.poisson(0.05, (HEIGHT, WIDTH)).astype(np.uint8),
        "black": np.zeros((HEIGHT, WIDTH), np.uint8),
        "one shade": np.full((HEIGHT, WIDTH, 3), 235, np.uint8),
        "slope": _levels(100 + 100 * columns / WIDTH + noise(2), 255),
    }


def _levels(values: np.ndarray, largest: int) -> np.ndarray:
    return np.clip(np.rint(values), 0, largest).astype(np.uint8 if largest == 255 else np.uint16)


def as_jpeg(pixels: np.ndarray, quality: int, subsampling: int = 2) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(file))
