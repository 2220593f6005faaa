"""Cache images whose random transforms follow from a seed alone."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from monai.data import CacheDataset

from medseg_ext.datasets.epoch_batches import Draw


class SeededCacheDataset(CacheDataset):
    """MONAI's `CacheDataset`, whose images come out the same for the same `Draw`, whichever process loads them.

    Without a `Draw`, an index gives what `CacheDataset` gives.
    """

    def __getitem__(self, index: Any) -> Any:
        """Give one image as it is drawn, transformed."""
        if not isinstance(index, Draw):
            return super().__getitem__(index)
        with _seeded(index.seed):
            self.transform.set_random_state(seed=index.seed)
            return super().__getitem__(index.image)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed what transforms may draw from beside their own states, and put it back: the network draws from it, too."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.default_generator.manual_seed(seed)  # not those of GPUs
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
