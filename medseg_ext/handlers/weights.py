"""Read weights, and say what is wrong with a file that does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine
from monai.handlers import CheckpointLoader

from medseg_ext.data.errors import DataError

REMEDY = "give --ckpt_path weights of this bundle, or the options with which they were trained"


def read_weights(path: Path, network: torch.nn.Module, *, name: str = "model", remedy: str) -> Mapping[str, Any]:
    """Read the weights of a network, on the CPU.

    Args:
        path: a state dict, or a dict that holds one under `name`.
        network: whose weights they must be; it is not changed.
        name: the network's name in the file.
        remedy: what to do about a file that cannot be used, for the message.

    Returns:
        The state dict.

    Raises:
        DataError: the file is missing, holds no weights, or those of another network.
    """
    if not path.is_file():
        raise DataError(f"{path}: there are no weights; {remedy}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler lets many kinds through, such as KeyError and IndexError
        raise DataError(f"{path}: holds no weights that can be loaded safely; {remedy}") from error
    if isinstance(state, Mapping) and {"network", "optimizer"} <= set(state):
        raise DataError(
            f"{path}: is the state of a training; give model.pt beside it (to go on with it, train with --resume True)"
        )
    found = state.get(name, state) if isinstance(state, Mapping) else {}
    found = found if isinstance(found, Mapping) else {}
    difference = _difference(found, network.state_dict())
    if difference:
        raise DataError(f"{path}: {difference}; {remedy}")
    return found


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


def _difference(found: Mapping[str, Any], wanted: Mapping[str, torch.Tensor]) -> str:
    """Describe how weights differ from those that a network has; empty where they fit."""
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    if missing or unknown:
        parts = [f"lacks {len(missing)} of its {len(wanted)} weights, such as {missing[0]}"] if missing else []
        parts += [f"has {len(unknown)} that it does not have, such as {unknown[0]}"] if unknown else []
        return f"holds the weights of another architecture than the network's: {' and '.join(parts)}"
    for name, value in wanted.items():
        got = tuple(getattr(found[name], "shape", ()))
        if got != tuple(value.shape):
            return (
                f"holds the weights of a network with another number of classes or of another width: {name} has the "
                f"shape {got}, the network's {tuple(value.shape)}"
            )
    return ""
