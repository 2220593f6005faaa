"""Load weights when an engine starts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.handlers import CheckpointLoader

from medseg_ext.networks.weight_files import REMEDY
from medseg_ext.networks.weights import read_weights
from medseg_ext.processes import is_first_process

logger = logging.getLogger(__name__)


class WeightsLoader(CheckpointLoader):
    """MONAI's `CheckpointLoader` for the weights of one network, with errors that name the file and the difference.

    Args:
        load_path: a state dict, or a dict that holds one under the name of the network.
        load_dict: the network by its name, such as `{"model": network}`.
        map_location: where the weights go.
        own_last_layer: take weights of a network with another number of classes, too, for a training: layers that tell
            classes keep what they have, and the log says so.
    """

    def __init__(
        self,
        load_path: str,
        load_dict: Mapping[str, torch.nn.Module],
        map_location: Any = None,
        *,
        own_last_layer: bool = False,
    ) -> None:
        super().__init__(load_path, dict(load_dict), map_location=map_location)
        self.own_last_layer = own_last_layer

    def load(self) -> None:
        """Load the weights.

        Raises:
            DataError: the file is missing, holds no weights, or those of another network.
        """
        ((name, network),) = self.load_dict.items()
        if isinstance(network, torch.nn.parallel.DistributedDataParallel):
            network = network.module
        path, own = Path(self.load_path), network.state_dict()
        loaded = read_weights(path, network, name=name, remedy=REMEDY, own_last_layer=self.own_last_layer)
        network.load_state_dict({**own, **loaded})
        kept = sorted({each.rpartition(".")[0] for each in own.keys() - loaded.keys()})
        if kept and is_first_process():
            logger.info(
                "%s is of another number of classes: all its weights are kept but those of the last layer (%s), which "
                "learns anew",
                path,
                ", ".join(kept),
            )

    def __call__(self, engine: Engine) -> None:
        """Load the weights when an engine starts; see `load`."""
        self.load()
