import random

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from medseg_ext.datasets.epoch_batches import EpochBatches
from medseg_ext.handlers.seeded_epochs import SeededEpochs
from medseg_ext.networks.stochastic_depth import StochasticDepth

Drawn = list[tuple[int, int, object]]


def train(
    seed: int | None, *, epochs: int = 3, state: dict | None = None, first: int = 0
) -> tuple[Drawn, SeededEpochs]:
    """Note for every step the batch and what is drawn, from an epoch on; more is drawn in between, by chance."""
    batches, network = EpochBatches(7, batch_size=3), StochasticDepth(0.5)
    seeded = SeededEpochs(seed=seed, batches=batches, network=network)
    drawn: Drawn = []

    def step(engine: Engine, batch: list) -> None:
        numbers = torch.rand(()).item(), np.random.rand(), random.random(), network(torch.ones(3, 1)).tolist()
        drawn.append((engine.state.epoch, engine.state.iteration, (tuple(batch), *map(str, numbers))))
        torch.seed(), np.random.seed(), random.seed()

    if state:
        seeded.load_state_dict(state)
    trainer = Engine(step)
    seeded.attach(trainer)
    if first:
        trainer.load_state_dict({"epoch": first, "epoch_length": len(batches), "max_epochs": epochs})
    trainer.run(batches, max_epochs=epochs, epoch_length=len(batches))
    return drawn, seeded


def test_every_step_is_the_same_again_wherever_the_training_begins():
    whole, _ = train(5)
    assert len({str(step) for *_, step in whole}) == len(whole) == 6
    assert train(5)[0] == whole
    assert train(5, first=2)[0] == whole[4:]
    assert all(one[2] != other[2] for one, other in zip(whole, train(6)[0], strict=True))


def test_a_training_without_a_seed_keeps_the_one_that_it_drew():
    whole, seeded = train(None)
    assert train(None)[0] != whole
    assert train(None, state=seeded.state_dict(), first=1)[0] == whole[2:]
    assert train(4, state=seeded.state_dict())[1].seed == 4


@pytest.mark.parametrize("rank", [0, 1])
def test_processes_draw_depths_together_and_other_numbers_apart(monkeypatch, rank):
    alone, _ = train(5)
    monkeypatch.setattr("medseg_ext.handlers.seeded_epochs.process_rank", lambda: rank)
    other, _ = train(5)
    for (*_, one), (*_, another) in zip(alone, other, strict=True):
        assert one[-1] == another[-1]  # the depth
        assert one[0] == another[0]
        assert (one[1:4] == another[1:4]) == (rank == 0)
