"""Put trained weights into a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from medseg_ext.handlers.checkpoint import save_atomically


def to_half_precision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round the floating-point tensors of a state dict to float16; integers stay as they are.

    Raises:
        ValueError: a value is not finite, or too large for float16; names the tensor.

    >>> to_half_precision({"weight": torch.ones(1), "steps": torch.tensor(7)})
    {'weight': tensor([1.], dtype=torch.float16), 'steps': tensor(7)}
    """
    rounded = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    for name, value in rounded.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} holds a value that float16 cannot hold")
    return rounded


def ship_weights(weights: Path, bundle: Path) -> Path:
    """Write the weights of a training, in half precision, as a bundle's `models/model.pt`.

    Args:
        weights: a plain state dict, such as a run's `model.pt`.
        bundle: the bundle's folder.

    Returns:
        The file written.

    Raises:
        FileNotFoundError: there are no such weights.
        ValueError: the file holds other things, such as the state of a training.
        RuntimeError: they are not of the bundle's network.
    """
    if not weights.is_file():
        raise FileNotFoundError(f"{weights}: not found; a training writes it into its output_dir")
    content = torch.load(weights, map_location="cpu", weights_only=True)
    if not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise ValueError(f"{weights}: holds more than weights; give the model.pt of the training's output_dir")
    state = to_half_precision(content)
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.get_parsed_content("network_def").load_state_dict(state)
    target = bundle / "models" / "model.pt"
    save_atomically(state, target)
    return target
