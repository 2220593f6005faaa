"""Draw the batches of an epoch, so that an epoch is the same whenever, and by however many processes, it is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Sampler

from medseg_ext.errors import DataError
from medseg_ext.processes import n_processes, process_rank


def derive_seed(*numbers: int) -> int:
    """Mix numbers of 0 or more, such as a seed and an epoch, into a seed below 2**32, as NumPy mixes them.

    >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
    (True, False)
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class Draw(NamedTuple):
    """An image as it is drawn for a batch.

    Attributes:
        image: its number in the data set.
        seed: of all that is random in its transforms.
    """

    image: int
    seed: int


class BatchRows(NamedTuple):
    """Which rows of every batch this process has: those from `start` up to `stop`, of `total`."""

    start: int
    stop: int
    total: int


class EpochBatches(Sampler[list[Draw]]):
    """The batches of an epoch, which depend on nothing but the seed, the epoch, the images and the batch size.

    For the `batch_sampler` of a `DataLoader` over a `SeededCacheDataset`. Of several processes each gets its rows of
    each batch, so that together they have the batch that a single one would have. An epoch has as many draws as there
    are images, times `draws_per_image`; what would not fill a batch is left out, unless it is all that there is.

    Args:
        n_images: size of the data set.
        batch_size: images of a batch, of all processes together.
        weights: how often each image is drawn, with replacement; None draws all equally often.
        draws_per_image: how often an epoch draws an image, on average, so that few images, too, fill batches.

    Raises:
        DataError: there are fewer images, or rows of a batch, than processes.

    >>> batches = EpochBatches(5, batch_size=2)
    >>> [[draw.image for draw in batch] for batch in batches]
    [[4, 3], [2, 1]]
    """

    def __init__(
        self, n_images: int, *, batch_size: int, weights: Sequence[float] | None = None, draws_per_image: int = 1
    ) -> None:
        self.n_images = n_images
        self.n_draws = n_images * draws_per_image
        self.batch_size = min(batch_size, self.n_draws)
        self.weights = None if weights is None else torch.as_tensor(weights, dtype=torch.float64)
        count = n_processes()
        if self.batch_size < count:
            what = (
                f"--batch_size {batch_size}"
                if batch_size <= self.n_draws
                else f"a data set of {n_images} training images"
            )
            raise DataError(f"{what} is too little for {count} processes, each of which is to have an image of a batch")
        start, stop = (rank * self.batch_size // count for rank in (process_rank(), process_rank() + 1))
        self.rows = BatchRows(start, stop, total=self.batch_size)
        self.start_epoch(1, seed=0)

    def start_epoch(self, epoch: int, *, seed: int) -> None:
        """Say which epoch comes next, counted from 1, and the seed of the training."""
        self._seeds = (seed, epoch)

    def __len__(self) -> int:
        """Count the batches of an epoch."""
        return self.n_draws // self.batch_size

    def __iter__(self) -> Iterator[list[Draw]]:
        """Give this process's rows of each batch."""
        order = self._order()
        for number in range(len(self)):
            yield self._draws(order, number)[self.rows.start : self.rows.stop]

    def whole_batch(self, number: int) -> list[Draw]:
        """Give a batch of all processes together, counted from 0."""
        return self._draws(self._order(), number)

    def _order(self) -> list[int]:
        generator = torch.Generator().manual_seed(derive_seed(*self._seeds))
        if self.weights is None:
            return (torch.randperm(self.n_draws, generator=generator) % self.n_images).tolist()
        return torch.multinomial(self.weights, self.n_draws, replacement=True, generator=generator).tolist()

    def _draws(self, order: Sequence[int], number: int) -> list[Draw]:
        places = range(number * self.batch_size, (number + 1) * self.batch_size)
        return [Draw(order[place], derive_seed(*self._seeds, place)) for place in places]
