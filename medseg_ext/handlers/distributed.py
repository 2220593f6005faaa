"""Tell the processes of a multi-GPU run apart."""

from __future__ import annotations

import torch.distributed
from ignite.engine import Engine, Events
from torch.utils.data.distributed import DistributedSampler


def is_first_process() -> bool:
    """Say whether this process is the one that writes files: the only one, or that of rank 0."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def set_epoch_of_sampler(trainer: Engine, sampler: DistributedSampler) -> None:
    """Let a sampler shuffle anew in every epoch; without it each process sees one order for ever."""
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda engine: sampler.set_epoch(engine.state.epoch))
