"""Keep the statistics of normalisation layers as they are while a network is trained."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from torch.nn.modules.batchnorm import _BatchNorm


class FrozenNorms:
    """Let batch norms normalise by the statistics that they start with, and not by those of each batch.

    A few images have other statistics in every batch, and the averages of them fit none. Scale and offset are learnt as
    ever. Norms that take no statistics over batches, such as group norms, are left alone. Attach it to a trainer.

    Args:
        network: the network that is trained.

    >>> network = torch.nn.BatchNorm1d(1)
    >>> FrozenNorms(network).freeze()
    >>> _ = network.train()(torch.full((4, 1), 7.0))
    >>> network.running_mean
    tensor([0.])
    """

    def __init__(self, network: torch.nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        self.freeze()

    def freeze(self) -> None:
        """Freeze the norms; trainers switch a network to training before every step, so each norm switches itself."""
        for module in self.network.modules():
            if isinstance(module, _BatchNorm):
                module.register_forward_pre_hook(_to_evaluation)


def _to_evaluation(module: torch.nn.Module, _: Any) -> None:
    module.eval()
