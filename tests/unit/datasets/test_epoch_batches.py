from collections import Counter

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.transforms import Compose, RandGaussianNoised, RandLambdad

from medseg_ext.datasets.epoch_batches import Draw, EpochBatches
from medseg_ext.datasets.seeded_cache import SeededCacheDataset
from medseg_ext.errors import DataError

WEIGHTS = [None, [0.1, 0.2, 1.0, 1.0, 0.5, 0.5, 0.3, 0.3, 0.3, 0.3, 2.0]]


def batches_of(monkeypatch, rank: int, count: int, batch_size: int = 4, **options: object) -> EpochBatches:
    monkeypatch.setattr("medseg_ext.datasets.epoch_batches.process_rank", lambda: rank)
    monkeypatch.setattr("medseg_ext.datasets.epoch_batches.n_processes", lambda: count)
    return EpochBatches(11, batch_size=batch_size, **options)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_processes_together_have_the_batch_of_one(monkeypatch, count, weights):
    alone = batches_of(monkeypatch, 0, 1, weights=weights)
    shares = [batches_of(monkeypatch, rank, count, weights=weights) for rank in range(count)]
    for epoch in (1, 2):
        for batches in (alone, *shares):
            batches.start_epoch(epoch, seed=7)
        assert [[draw for part in parts for draw in part] for parts in zip(*shares, strict=True)] == list(alone)
        assert len(alone) == len(shares[0]) == 2
        assert {len(batch) for batch in shares[0]} == {4 // count}


def test_an_epoch_is_the_same_whatever_came_before_and_no_other_is(monkeypatch):
    batches = batches_of(monkeypatch, 0, 1)
    drawn = {}
    for epoch in (1, 2, 3, 2):
        batches.start_epoch(epoch, seed=0)
        assert drawn.setdefault(epoch, list(batches)) == list(batches)
    batches.start_epoch(1, seed=1)
    drawn[0] = list(batches)
    seeds = [draw.seed for epoch in drawn.values() for batch in epoch for draw in batch]
    assert len(set(seeds)) == len(seeds) == 4 * 8


def test_without_weights_no_image_comes_twice(monkeypatch):
    drawn = Counter(draw.image for batch in batches_of(monkeypatch, 0, 1) for draw in batch)
    assert set(drawn.values()) == {1}


def test_images_come_as_often_as_they_weigh(monkeypatch):
    weights = torch.tensor(WEIGHTS[1])
    batches, drawn = batches_of(monkeypatch, 0, 1, weights=WEIGHTS[1]), torch.zeros(11)
    for epoch in range(1, 1001):
        batches.start_epoch(epoch, seed=0)
        drawn += torch.bincount(torch.tensor([draw.image for batch in batches for draw in batch]), minlength=11)
    torch.testing.assert_close(drawn / drawn.sum(), weights / weights.sum(), atol=0.01, rtol=0.1)


def test_fewer_images_than_a_batch_are_one():
    assert [len(batch) for batch in EpochBatches(3, batch_size=8)] == [3]


def test_too_little_for_every_process_names_what_it_is(monkeypatch):
    with pytest.raises(DataError, match="--batch_size 2 is too little for 3 processes"):
        batches_of(monkeypatch, 0, 3, batch_size=2)
    with pytest.raises(DataError, match="a data set of 11 training images is too little for 12 processes"):
        batches_of(monkeypatch, 0, 12, batch_size=16)


def global_noise(image: torch.Tensor) -> torch.Tensor:
    return image + torch.rand(()) + np.random.rand()


@pytest.fixture
def images() -> SeededCacheDataset:
    noise = [RandGaussianNoised("image", prob=1.0), RandLambdad("image", func=global_noise, prob=0.5)]
    data = [{"image": torch.full((1, 4, 4), float(number))} for number in range(8)]
    return SeededCacheDataset(data, Compose([Compose(noise)]), num_workers=0, progress=False)


def test_an_image_follows_from_its_seed_alone_and_leaves_the_generators_as_they_were(images):
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first, other = images[Draw(2, seed=11)]["image"], images[Draw(2, seed=12)]["image"]
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    assert images[Draw(5, seed=1)]["image"].mean() + torch.rand(()) > 0
    assert torch.equal(images[Draw(2, seed=11)]["image"], first)
    assert not torch.equal(first, other)


def test_batches_are_the_same_for_any_number_of_workers(images):
    def load(num_workers: int) -> list[torch.Tensor]:
        batches = EpochBatches(8, batch_size=3)
        loader = DataLoader(images, batch_sampler=batches, num_workers=num_workers)
        drawn = []
        for epoch in (1, 2):
            batches.start_epoch(epoch, seed=5)
            drawn += [batch["image"] for batch in loader]
        return drawn

    alone, by_two = load(0), load(2)
    assert len(alone) == 4
    assert all(torch.equal(one, two) for one, two in zip(alone, by_two, strict=True))


def test_an_index_gives_the_image_as_any_data_set_does(images):
    assert images[3]["image"].shape == (1, 4, 4)
    assert len(images) == 8
