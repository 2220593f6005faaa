"""Seed every step of a training, so that an epoch that is run again, or by other processes, is the same."""

from __future__ import annotations

import random
import secrets
from collections.abc import Mapping

import numpy as np
import torch
from ignite.engine import Engine, Events

from medseg_ext.datasets.epoch_batches import EpochBatches, derive_seed
from medseg_ext.networks.stochastic_depth import StochasticDepth, WholeBatchDraws
from medseg_ext.processes import made_by_first_process, process_rank

NETWORK, BATCH = 0, 1  # what the random numbers of a step are for


class SeededEpochs:
    """Let all that is random follow from the seed, the epoch, and the step within it.

    So no state of a generator needs to be kept, and what happened before, such as an interruption, makes no difference.
    The order of the images, what their transforms draw, and stochastic depth are the same for any number of processes
    and of data loaders' workers. What else a network draws, such as dropout, each process draws by itself.

    Attach it to the trainer before anything that draws.

    Args:
        seed: of the training, 0 or more; None draws one, which a resumed training keeps.
        batches: those that the trainer gets.
        network: whose stochastic depth is seeded.
    """

    def __init__(self, *, seed: int | None, batches: EpochBatches, network: torch.nn.Module) -> None:
        self.seed = seed
        self.batches = batches
        self.network = network
        self.draws = WholeBatchDraws(*batches.rows)

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start_epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self.start_step)

    def start_epoch(self, engine: Engine) -> None:
        """Draw the batches of the epoch."""
        if self.seed is None:
            self.seed = made_by_first_process(lambda: secrets.randbits(31))
        self.batches.start_epoch(engine.state.epoch, seed=self.seed)
        for module in self.network.modules():
            if isinstance(module, StochasticDepth):
                module.draws = self.draws

    def start_step(self, engine: Engine) -> None:
        """Seed the generators of PyTorch, NumPy and Python."""
        assert self.seed is not None
        assert engine.state.epoch_length is not None
        step = (self.seed, engine.state.epoch, (engine.state.iteration - 1) % engine.state.epoch_length)
        own = derive_seed(*step, NETWORK, process_rank())
        torch.manual_seed(own)
        np.random.seed(own)
        random.seed(own)
        self.draws.generator.manual_seed(derive_seed(*step, BATCH))

    def state_dict(self) -> dict[str, int | None]:
        """Return what a resumed training must know."""
        return {"seed": self.seed}

    def load_state_dict(self, state: Mapping[str, int | None]) -> None:
        """Take the seed of the training that is resumed, if none is given."""
        if self.seed is None:
            self.seed = state["seed"]
