"""Keep the weights of networks in files."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medseg_ext.errors import DataError
from medseg_ext.files import write_atomically
from medseg_ext.networks.weight_files import refuse_absent, refuse_torchscript, refuse_training_state

MOST_CHANNELS = 32  # of an image; layers that see more are not the first


def read_saved(path: Path, *, remedy: str) -> Any:
    """Read what PyTorch has saved, on the CPU, if it is whole: its parts have checksums, which PyTorch passes over.

    Only tensors, numbers and texts are made of a file, which so cannot run code. Safetensors are read, too.

    Args:
        path: the file.
        remedy: what to do about a file that cannot be used, for the message.

    Raises:
        DataError: the file is missing or damaged, or holds what cannot be loaded safely.
    """
    refuse_absent(path, remedy=remedy)
    if path.suffix == ".safetensors":
        return _read_safetensors(path, remedy=remedy)
    refuse_torchscript(path, remedy=remedy)
    if part := _damaged_part(path):
        raise DataError(f"{path}: is damaged, {part} is not what was saved; {remedy}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler lets many kinds through, such as KeyError and IndexError
        raise DataError(f"{path}: holds no weights that can be loaded safely; {remedy}") from error


def read_weights(
    path: Path, network: torch.nn.Module, *, name: str = "model", remedy: str, own_last_layer: bool = False
) -> Mapping[str, Any]:
    """Read the weights of a network, on the CPU.

    Args:
        path: a state dict, or a dict that holds one under `name`.
        network: whose weights they must be; it is not changed.
        name: the network's name in the file.
        remedy: what to do about a file that cannot be used, for the message.
        own_last_layer: whether the file may be of a network with another number of classes, or of channels: the layers
            that tell classes, which then have another number of outputs, are left out, and each channel that the first
            layer sees gets the mean of its weights.

    Returns:
        The state dict.

    Raises:
        DataError: the file is missing or damaged, holds no weights, those of another network, or values that are not
            finite.
    """
    state = read_saved(path, remedy=remedy)
    if isinstance(state, Mapping):
        refuse_training_state(path, state.keys())
    found = state.get(name, state) if isinstance(state, Mapping) else {}
    found = found if isinstance(found, Mapping) else {}
    own = network.state_dict()
    if own_last_layer:
        found = {**found, **{key: for_inputs(found[key], own[key].shape[1]) for key in with_other_inputs(found, own)}}
        others = with_other_outputs(found, own)
        found = {key: value for key, value in found.items() if key not in others}
        own = {key: value for key, value in own.items() if key not in others}
    difference = _difference(found, own)
    if difference:
        raise DataError(f"{path}: {difference}; {remedy}")
    if not_finite := find_not_finite(found):
        raise DataError(f"{path}: {not_finite} holds values that are not finite; {remedy}")
    return found


def with_other_outputs(found: Mapping[str, Any], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    """Name the weights that differ from wanted ones in nothing but the number of outputs, which is their first side.

    In a network of another width such layers are followed by some with another number of inputs, which are not named.

    >>> few, many = torch.nn.Linear(3, 2).state_dict(), torch.nn.Linear(3, 4).state_dict()
    >>> with_other_outputs(few, many)
    ['weight', 'bias']
    """
    names = []
    for name, value in wanted.items():
        got, own = tuple(getattr(found.get(name), "shape", ())), tuple(value.shape)
        if got and own and got[0] != own[0] and got[1:] == own[1:]:
            names.append(name)
    return names


def for_inputs(weight: torch.Tensor, n_channels: int) -> torch.Tensor:
    """Make weights of a layer, (out, in, ...), of another number of inputs: each gets the mean, of the same sum.

    >>> for_inputs(torch.tensor([[1.0, 2.0, 3.0]]), 2)
    tensor([[3., 3.]])
    """
    mean = weight.mean(dim=1, keepdim=True) * (weight.shape[1] / n_channels)
    return mean.repeat(1, n_channels, *[1] * (weight.ndim - 2))


def with_other_inputs(found: Mapping[str, Any], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    """Name the weights that differ from wanted ones in the number of an image's channels, their second side."""
    names = []
    for name, value in wanted.items():
        got, own = tuple(getattr(found.get(name), "shape", ())), tuple(value.shape)
        is_first_layer = len(got) == len(own) == 4 and got[1] <= MOST_CHANNELS and own[1] <= MOST_CHANNELS
        if is_first_layer and got[1] != own[1] and got[:1] + got[2:] == own[:1] + own[2:]:
            names.append(name)
    return names


def find_not_finite(content: Any) -> str:
    """Find a tensor that holds infinite values or NaN, in dicts and lists; returns its path, empty where there is none.

    >>> find_not_finite({"network": {"bias": torch.tensor([0.0, torch.nan])}, "steps": [torch.tensor(1)]})
    'network.bias'
    """
    if isinstance(content, torch.Tensor):
        return "" if torch.isfinite(content).all() else "."
    parts = content.items() if isinstance(content, Mapping) else enumerate(content) if _is_list(content) else ()
    for key, part in parts:
        if found := find_not_finite(part):
            return f"{key}" if found == "." else f"{key}.{found}"
    return ""


def _is_list(content: Any) -> bool:
    return isinstance(content, (list, tuple))


def _damaged_part(path: Path) -> str:
    """Name a part of a file whose checksum is another; empty where there is none, or the file has no checksums."""
    if not zipfile.is_zipfile(path):  # as older versions of PyTorch saved
        return ""
    with zipfile.ZipFile(path) as file:
        for part in file.infolist():
            if part.CRC == 0:  # saved with `torch.serialization.set_crc32_options(False)`
                continue
            try:
                with file.open(part) as content:
                    while content.read(1 << 20):
                        pass
            except (zipfile.BadZipFile, EOFError, OSError, zlib.error):
                return part.filename
    return ""


def _read_safetensors(path: Path, *, remedy: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: is no whole file of safetensors ({error}); {remedy}") from error


def save_safetensors(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Save a state dict as safetensors, which holds numbers and nothing that could be run."""
    from safetensors.torch import save_file

    # Of its own memory each: the format has no tensors that share some.
    save_file({name: value.clone().contiguous() for name, value in state.items()}, path, metadata={"format": "pt"})


def save_state(content: Any, path: Path) -> None:
    """Save with `torch.save` under a temporary name first, so that an interruption leaves no half-written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = io.BytesIO()  # PyTorch's own writer of files does not tell that the disk is full
    torch.save(content, saved)
    write_atomically(path, saved.getvalue())


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
            if name in with_other_inputs(found, wanted):
                return f"holds the weights of a network that sees {got[1]} channels, and this one sees {value.shape[1]}"
            return (
                f"holds the weights of a network with another number of classes or of another width: {name} has the "
                f"shape {got}, the network's {tuple(value.shape)}"
            )
    return ""
