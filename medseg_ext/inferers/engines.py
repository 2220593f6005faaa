"""Engines that run a network faster than PyTorch does on a CPU."""

from __future__ import annotations

import importlib.util
import io
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import openvino

EXAMPLE_SHAPE = (2, 3, 128, 160)  # to trace a network with; batch, height and width stay free
FREE_AXES = {0: "batch", 2: "height", 3: "width"}

RunsImages = Callable[[torch.Tensor], torch.Tensor]
"""From image float32 (B, 3, H, W) to output float32 (B, C, H, W), on the CPU."""


def to_onnx(network: torch.nn.Module) -> bytes:
    """Write a network as ONNX, which takes half a second to a second.

    Args:
        network: takes images (B, 3, H, W) and gives (B, C, H, W), in evaluation, on the CPU.
    """
    content = io.BytesIO()
    with torch.inference_mode(), torch.autocast("cpu", enabled=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # which shapes a trace holds fast; tests tell
        torch.onnx.export(
            network,
            (torch.zeros(EXAMPLE_SHAPE),),
            content,  # type: ignore[arg-type]  # the stub knows only paths
            input_names=["image"],
            output_names=["pred"],
            dynamic_axes={"image": FREE_AXES, "pred": FREE_AXES},
            dynamo=False,  # the newer exporter gives the same, in fifteen times the time
        )
    return content.getvalue()


class Engine(ABC):
    """Runs a network that was written as ONNX, in float32, with as many threads as PyTorch has.

    Attributes:
        name: as users give it, that of the package that it needs.
    """

    name: str

    @classmethod
    def is_installed(cls) -> bool:
        """Say whether its package is there, and that of the format."""
        return all(importlib.util.find_spec(package) is not None for package in (cls.name, "onnx"))

    @abstractmethod
    def load(self, onnx: bytes) -> RunsImages:
        """Make a network ready to run."""


class OpenVINO(Engine):
    """Intel's OpenVINO, which is also the fastest on other makers' CPUs.

    In float32: its bfloat16 takes half the time, but computes all of a network in it. PyTorch's leaves the encoders in
    float32, whose error it multiplies by ten; objects of the validation images were other ones.
    """

    name = "openvino"

    def load(self, onnx: bytes) -> RunsImages:
        """Compile a network."""
        core = _openvino_core()
        options = {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
        }
        compiled = core.compile_model(core.read_model(onnx), "CPU", options)

        def run(image: torch.Tensor) -> torch.Tensor:
            # A copy: the array is of the engine, which writes to it again.
            return torch.from_numpy(compiled(image.contiguous().numpy())[0].copy())

        return run


@cache
def _openvino_core() -> openvino.Core:
    """Give the one of this process."""
    import openvino

    return openvino.Core()


class ONNXRuntime(Engine):
    """Microsoft's ONNX Runtime."""

    name = "onnxruntime"

    def load(self, onnx: bytes) -> RunsImages:
        """Open a session."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

        def run(image: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(session.run(None, {"image": image.contiguous().numpy()})[0])

        return run
