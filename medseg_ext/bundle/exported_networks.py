"""Load a bundle's network in each of the forms that it is exported to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from monai.bundle import ConfigParser

from medseg_ext.bundle.trust import refuse_unknown_code
from medseg_ext.errors import DataError
from medseg_ext.networks.weights import read_weights

REMEDY = "ship weights of this bundle: medseg ship"
EXPORT_FIRST = "export the bundle first: medseg export NAME --output DIR"
Network = Callable[[torch.Tensor], torch.Tensor]
"""From image float32 (B, 3, H, W), RGB in [0, 1], to output float32 (B, C, H, W); on the CPU."""


def read_inference_config(bundle: Path) -> ConfigParser:
    """Read a bundle's inference.json, with its metadata; `bundle_root` is the bundle's folder.

    Raises:
        DataError: it is no bundle, or names code that is not run unasked, see `medseg_ext.bundle.trust`.
    """
    files = {name: bundle / "configs" / f"{name}.json" for name in ("inference", "metadata")}
    for file in files.values():
        if not file.is_file():
            raise DataError(f"{file}: not found, so {bundle} is no bundle; give the folder of one")
    refuse_unknown_code(bundle)
    parser = ConfigParser()
    parser.read_config(str(files["inference"]))
    parser.read_meta(str(files["metadata"]))
    parser["bundle_root"] = bundle  # no text, in which the parser would rewrite a #
    return parser


def load_eager(bundle: Path, weights: Path | None = None) -> torch.nn.Module:
    """Load the network in plain PyTorch with the bundle's weights, or with those of another file, in evaluation.

    Raises:
        DataError: it is no bundle, or its weights are missing or of another network.
    """
    network = read_inference_config(bundle).get_parsed_content("network_def").eval()
    network.load_state_dict(read_weights(weights or bundle / "models" / "model.pt", network, remedy=REMEDY))
    return network


def load_torchscript(bundle: Path) -> torch.nn.Module:
    """Load `models/model.ts`.

    Raises:
        DataError: there is none.
    """
    return torch.jit.load(_existing(bundle / "models" / "model.ts"), map_location="cpu").eval()


def load_onnx(bundle: Path) -> Network:
    """Load `models/model.onnx` into ONNX Runtime.

    Raises:
        DataError: there is none.
        RuntimeError: ONNX Runtime is not installed.
    """
    file = _existing(bundle / "models" / "model.onnx")
    try:
        import onnxruntime
    except ImportError as error:
        raise RuntimeError("ONNX Runtime is not installed: pip install 'medseg-ext[export]'") from error
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def run(image: torch.Tensor) -> torch.Tensor:
        # as_tensor: of a MetaTensor as of any
        array = torch.as_tensor(image).detach().cpu().contiguous().numpy()
        return torch.from_numpy(session.run(None, {session.get_inputs()[0].name: array})[0])

    return run


FORMS: dict[str, Callable[[Path], Network]] = {
    "eager": load_eager,
    "torchscript": load_torchscript,
    "onnx": load_onnx,
}


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise DataError(f"{file}: not found; {EXPORT_FIRST}")
    return file
