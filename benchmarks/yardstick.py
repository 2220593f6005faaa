"""A fixed job for the processor. What a machine needs for it tells how fast the machine is."""

from __future__ import annotations

import numpy as np

from benchmarks.worker import Work

SIDE = 1024


def job() -> Work:
    """Transform, sort and add up the same numbers: no BLAS, of which each machine has another."""
    pixels = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)

    def work() -> float:
        spectrum = np.fft.rfft2(pixels)
        smooth = np.fft.irfft2(spectrum * np.conj(spectrum), s=pixels.shape)
        ranks = np.argsort(pixels, axis=None, kind="stable")
        sums = np.cumsum(np.cumsum(pixels, axis=0), axis=1)
        boxes = sums[8:, 8:] - sums[:-8, 8:] - sums[8:, :-8] + sums[:-8, :-8]
        return float(smooth.mean() + boxes.std() + pixels.ravel()[ranks[SIDE]])

    return Work(work)
