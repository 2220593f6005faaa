"""Describe what the measurements were made on."""

from __future__ import annotations

import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from benchmarks.contest import PEERS_PYTHON, ROOT
from benchmarks.pictures import is_real

PACKAGES = ("torch", "torchvision", "monai", "numpy", "scipy", "scikit-image")
PEER_PACKAGES = ("stardist", "tensorflow", "cellpose", "instanseg-torch", "torch", "numpy")


@functools.cache
def has_gpu() -> bool:
    """Say whether PyTorch finds a GPU."""
    import torch

    return torch.cuda.is_available()


def description() -> dict[str, Any]:
    """Give the date, the hardware, the load before the run, the versions, and which images there are."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "commit": _output("git", "describe", "--always", "--dirty"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "gpu": _gpu_name(),
        "load_before": round(os.getloadavg()[0], 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "peers": _peer_versions(),
        "real_images": {name: is_real(name) for name in ("dsb2018", "segpc2021")},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor()
    lines = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
    lines = {key.strip(): value.strip() for key, value in lines.items()}
    instructions = [name for name in ("avx2", "avx512f", "avx512_bf16") if name in lines.get("flags", "").split()]
    return ", ".join([lines.get("model name", platform.machine()), *instructions])


def _gpu_name() -> str | None:
    import torch

    return torch.cuda.get_device_name() if has_gpu() else None


def _peer_versions() -> dict[str, str]:
    if not PEERS_PYTHON.exists():
        return {}
    code = (
        "import importlib.metadata as m, json, sys\n"
        "print(json.dumps({d.name.lower(): d.version for d in m.distributions() if d.name.lower() in sys.argv[1:]}))"
    )
    return json.loads(_output(str(PEERS_PYTHON), "-c", code, *PEER_PACKAGES))


def _output(*words: str) -> str:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
