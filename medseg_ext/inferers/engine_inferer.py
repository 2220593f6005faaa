"""Run a network by an engine of its own, where that is faster."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from monai.inferers import Inferer

import medseg_ext
from medseg_ext.errors import DataError
from medseg_ext.files import ENGINES_FOLDER, write_atomically
from medseg_ext.inferers.engines import EXAMPLE_SHAPE, Engine, ONNXRuntime, OpenVINO, RunsImages, to_onnx

AUTO, TORCH = "auto", "torch"
LARGEST_DIFFERENCE = 1e-3  # relative, on average; 1e-6 is usual

logger = logging.getLogger(__name__)


class EngineInferer(Inferer):
    """Run a network by OpenVINO or ONNX Runtime in place of PyTorch, in float32.

    The network is converted at the first image, with the weights that it has then, and again where they have changed.
    That takes a second: what comes of it is kept in a folder beside the weights.

    Args:
        inferer: runs the network by PyTorch.
        engine: "torch", "openvino", "onnxruntime", or "auto": OpenVINO where it is installed and PyTorch would compute
            on the CPU, else PyTorch.
        device: where the network is.
        weights: the file of the network's weights; None keeps nothing.

    Raises:
        DataError: the engine is not installed, or does not run on the device; later, it cannot take the network.
    """

    def __init__(
        self,
        inferer: Inferer,
        *,
        engine: str = AUTO,
        device: torch.device | str = "cpu",
        weights: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.inferer = inferer
        self.is_asked_for = engine != AUTO
        self.engine = _engine(engine, torch.device(device))
        self.weights = None if weights is None else Path(weights)
        self._network: torch.nn.Module | None = None
        self._versions: list[int] = []
        self._run: RunsImages | None = None
        self._gave_up = False

    @property
    def engine_used(self) -> tuple[str, str]:
        """Say what runs the network, or has run it where it could not be converted, and in which precision."""
        if self.engine is None or self._gave_up:
            used: tuple[str, str] = getattr(self.inferer, "engine_used", (TORCH, "float32"))
            return used
        return self.engine.name, "float32"

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output for an image (B, C, H, W)."""
        run = self._runner_of(network)
        if run is None:
            return self.inferer(inputs, network, *args, **kwargs)
        return run(torch.as_tensor(inputs).detach())

    def _runner_of(self, network: Callable[..., Any]) -> RunsImages | None:
        """Give what runs a network with its weights; None where PyTorch is to."""
        if self.engine is None:
            return None
        if not isinstance(network, torch.nn.Module) or isinstance(network, torch.jit.ScriptModule):
            if self.is_asked_for:
                raise DataError(f"--engine {self.engine.name} takes no converted network: give --engine torch")
            self._gave_up = True
            return None
        versions = [tensor._version for tensor in network.state_dict(keep_vars=True).values()]
        if network is not self._network or versions != self._versions:
            self._run = self._made_ready(self.engine, network)
            self._gave_up = self._run is None
            self._network, self._versions = network, versions
        return self._run

    def _made_ready(self, engine: Engine, network: torch.nn.Module) -> RunsImages | None:
        try:
            run = engine.load(self._onnx_of(network))
            _check(run, network)
            return run
        except Exception as error:  # each library has its own
            if self.is_asked_for:
                raise DataError(
                    f"--engine {engine.name} cannot take the network ({error}): give --engine torch"
                ) from error
            logger.warning("%s cannot take the network, which PyTorch runs, more slowly: %s", engine.name, error)
            return None

    def _onnx_of(self, network: torch.nn.Module) -> bytes:
        if self.weights is None:
            return to_onnx(network)
        folder = self.weights.parent / ENGINES_FOLDER / self.weights.name
        file = folder / f"{_hash(network)}.onnx"
        with suppress(OSError):
            if onnx := _unless_damaged(file.read_bytes()):
                return onnx
        onnx = to_onnx(network)
        with suppress(OSError):  # a bundle that must not be written to
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(file, hashlib.sha256(onnx).digest() + onnx)
            for other in folder.iterdir():
                if other != file:  # of the weights that were under this name before
                    other.unlink(missing_ok=True)
        return onnx


def _check(run: RunsImages, network: torch.nn.Module) -> None:
    """Compare an engine's output with PyTorch's.

    This is also the first image that the engine sees. OpenVINO 2026.4 gives wrong outputs of a SegFormer for images of
    all larger sizes if the first one has but 32 x 32 pixels, which is one on the deepest level.
    """
    image = torch.rand(EXAMPLE_SHAPE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), torch.autocast("cpu", enabled=False):
        expected = network(image)
    difference = (run(image) - expected).abs().mean() / expected.abs().mean()
    if not difference < LARGEST_DIFFERENCE:  # so that NaN fails, too
        raise ValueError(f"its output differs from PyTorch's by {difference:.2g} of it")


def _unless_damaged(content: bytes) -> bytes | None:
    """Give what follows its hash."""
    length = hashlib.sha256().digest_size
    return content[length:] if hashlib.sha256(content[length:]).digest() == content[:length] else None


def _hash(network: torch.nn.Module) -> str:
    """Hash all that a converted network depends on."""
    digest = hashlib.sha256(f"{torch.__version__} {medseg_ext.__version__} {network}".encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _engine(name: str, device: torch.device) -> Engine | None:
    """Give the engine of a name; None stands for PyTorch."""
    engines = {engine.name: engine for engine in (OpenVINO(), ONNXRuntime())}
    if name == AUTO:
        return engines["openvino"] if device.type == "cpu" and OpenVINO.is_installed() else None
    if name == TORCH:
        return None
    engine = engines[name]
    if device.type != "cpu":
        raise DataError(f"--engine {name} computes on the CPU, and --device is {device}: give --engine torch")
    if not engine.is_installed():
        raise DataError(f"--engine {name} is not installed: pip install 'medseg-ext[{name}]', or give --engine torch")
    return engine
