"""Load weights when an engine starts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.handlers import CheckpointLoader

from medseg_ext.networks.weights import read_weights

REMEDY = "give --ckpt_path weights of this bundle, or the options with which they were trained"


class WeightsLoader(CheckpointLoader):
    """MONAI's `CheckpointLoader` for the weights of one network, with errors that name the file and the difference.

    Args:
        load_path: a state dict, or a dict that holds one under the name of the network.
        load_dict: the network by its name, such as `{"model": network}`.
        map_location: where the weights go.
    """

    def __init__(self, load_path: str, load_dict: Mapping[str, torch.nn.Module], map_location: Any = None) -> None:
        super().__init__(load_path, dict(load_dict), map_location=map_location)

    def load(self) -> None:
        """Load the weights.

        Raises:
            DataError: the file is missing, holds no weights, or those of another network.
        """
        ((name, network),) = self.load_dict.items()
        if isinstance(network, torch.nn.parallel.DistributedDataParallel):
            network = network.module
        network.load_state_dict(read_weights(Path(self.load_path), network, name=name, remedy=REMEDY))

    def __call__(self, engine: Engine) -> None:
        """Load the weights when an engine starts; see `load`."""
        self.load()
