"""Keep the weights of networks in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medseg_ext.errors import DataError
from medseg_ext.files import replacing


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


def save_state(content: Any, path: Path) -> None:
    """Save with `torch.save` under a temporary name first, so that an interruption leaves no half-written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        torch.save(content, temporary)


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
