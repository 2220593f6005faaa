"""Mixed precision on CPUs that compute in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer


def cpu_computes_bfloat16() -> bool:
    """Say whether this CPU has bfloat16 instructions; without them bfloat16 is slower than float32."""
    if not hasattr(torch.cpu, "get_capabilities"):  # older PyTorch
        return False
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


class CPUAutocastInferer(Inferer):
    """Run another inferer in bfloat16 where that pays on a CPU; on a GPU MONAI's engines have `amp` for that.

    bfloat16 has the range of float32, so no gradient scaler is needed.

    Args:
        inferer: does the work.
        device: where the network is.
        amp: False turns it off.

    Attributes:
        engine_used: "torch", and in which precision it runs the network, that of MONAI's engines on a GPU included.
    """

    def __init__(self, inferer: Inferer, *, device: torch.device | str, amp: bool = True) -> None:
        super().__init__()
        self.inferer = inferer
        kind = torch.device(device).type
        self.enabled = amp and kind == "cpu" and cpu_computes_bfloat16()
        mixed = "bfloat16" if self.enabled else "float16" if amp and kind == "cuda" else None
        self.engine_used = ("torch", f"{mixed} and float32" if mixed else "float32")

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the network's output, whatever the inner inferer gives."""
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.enabled):
            return self.inferer(inputs, network, *args, **kwargs)
