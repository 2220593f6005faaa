"""Recognise an image again: turned, mirrored, saved otherwise, resized, brightened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn, irfft2, rfft2
from scipy.ndimage import gaussian_filter

HASH_SIDE_PX, HASH_WAVES = 32, 8  # 63 bits of the slowest waves of so small a picture
# Bits by which hashes of one picture may differ: JPEG, noise, another size, a crop of 2 % change up to 10. Of images of
# microscopes that are none, few differ by less than 14; the pixels tell them.
CANDIDATE_BITS = 12
COMPARED_PX = 192  # side at which pixels of candidates are compared
BLUR_PX = 8  # of these: what varies more slowly, such as uneven light, is no sign of one picture
# Correlation of details from which on two images are one. Where 1 % of an image is cut off, it is .87 and more; where
# 2 % are, .73 and more. Two depths of one embryo in DSB2018 reach .83, no two other images .55. But one nucleus alone
# is like any other: where details are in few places, they must be the very same.
SAME, SAME_OF_FEW = 0.72, 0.97
FEW_PLACES, PLACE_PX = 6, 16
_AT_ONCE = 1024


class Fingerprint(NamedTuple):
    """By what an image is recognised.

    Attributes:
        exact: SHA-256 of the pixels, one for all eight turns and mirrorings.
        hashes: uint64 (8,), a perceptual hash for each of them, the image's own first.
        is_flat: nothing in the image tells it from another, as in empty glass.
    """

    exact: str
    hashes: NDArray[np.uint64]
    is_flat: bool


def orientations(image: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the eight turns and mirrorings of an image (H, W) or (H, W, C), itself first."""
    for mirrored in (image, image[:, ::-1]):
        for quarters in range(4):
            yield np.rot90(mirrored, quarters)


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Take the fingerprint of an image, uint8 (H, W, C).

    >>> image = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    >>> fingerprint(image).exact == fingerprint(np.rot90(image)).exact
    True
    """
    digests = []
    for turned in orientations(image):
        digest = hashlib.sha256(repr(turned.shape).encode())
        digest.update(turned.tobytes())
        digests.append(digest.hexdigest())
    small = _grey(image, HASH_SIDE_PX)
    hashes = np.array([_hash(turned) for turned in orientations(small)], dtype=np.uint64)
    return Fingerprint(min(digests), hashes, bool(np.ptp(small) < 1))


def _grey(image: NDArray[np.uint8], side_px: int) -> NDArray[np.float32]:
    """Give the means over the channels and each pixel of a square picture; 32 bits, as dark images have few levels."""
    grey = Image.fromarray(image.mean(axis=2, dtype=np.float32))
    return np.asarray(grey.resize((side_px, side_px), Image.Resampling.BOX))


def _hash(grey: np.ndarray) -> int:
    """Say of each of the slow waves whether it is stronger than the median.

    Source: C. Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010 (pHash).
    """
    waves = dctn(grey, norm="ortho")[:HASH_WAVES, :HASH_WAVES].ravel()[1:]
    return int("".join("1" if each else "0" for each in waves > np.median(waves)), 2)


def candidate_pairs(prints: Sequence[Fingerprint]) -> Iterator[tuple[int, int]]:
    """Yield the positions of images whose hashes are near, the smaller first; flat images have no near ones.

    All are compared with all, but 64 bits at a time.
    """
    places = np.array([place for place, each in enumerate(prints) if not each.is_flat], dtype=np.intp)
    if not len(places):
        return
    turned = np.stack([prints[place].hashes for place in places])
    own = turned[:, 0]
    for start in range(0, len(own), _AT_ONCE):
        block = own[start : start + _AT_ONCE, None]
        near = np.zeros((len(block), len(own) - start), dtype=bool)
        for number in range(turned.shape[1]):
            near |= np.bitwise_count(block ^ turned[None, start:, number]) <= CANDIDATE_BITS
        for row, column in np.argwhere(np.triu(near, k=1)).tolist():
            yield int(places[start + row]), int(places[start + column])


def correlation_of_details(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Compare two images, uint8 (H, W, C), by their details, at one size and in all turns and mirrorings.

    Returns:
        The greatest correlation over all shifts, at most 1.
    """
    wave = rfft2(_details(one))
    greatest = max(
        irfft2(wave * np.conj(rfft2(turned)), s=(COMPARED_PX, COMPARED_PX)).max()
        for turned in orientations(_details(other))
    )
    return float(greatest) / COMPARED_PX**2


def are_one_picture(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float | None:
    """Say how well two images, uint8 (H, W, C), correlate if they are one picture, else None."""
    found = correlation_of_details(one, other)
    few = min(_places(_details(one)), _places(_details(other))) < FEW_PLACES
    return found if found >= (SAME_OF_FEW if few else SAME) else None


def _places(details: np.ndarray) -> float:
    """Count the places, of `PLACE_PX` squared, that hold the details: equal shares count in full."""
    side = COMPARED_PX // PLACE_PX
    energy = (details**2).reshape(side, PLACE_PX, side, PLACE_PX).sum(axis=(1, 3))
    return float(energy.sum() ** 2 / max(float((energy**2).sum()), 1e-6))


def _details(image: NDArray[np.uint8]) -> np.ndarray:
    grey = _grey(image, COMPARED_PX)
    details = grey - gaussian_filter(grey, BLUR_PX)
    return (details - details.mean()) / max(float(details.std()), 1e-6)
