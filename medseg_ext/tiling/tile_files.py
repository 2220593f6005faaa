"""Keep the objects of a tile in a file, for another process."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import numpy as np
import torch

from medseg_ext.files import write_atomically
from medseg_ext.objects.objects import Objects

LEVEL = 1  # of Zstandard: label maps are mostly runs


def save_objects(path: Path, objects: Objects) -> None:
    """Write objects to a file."""
    content = io.BytesIO()
    arrays = {name: each.cpu().numpy() for name, each in vars(objects).items()}
    np.savez(content, **arrays)
    write_atomically(path, bytes(imagecodecs.zstd_encode(content.getvalue(), level=LEVEL)), at_once=False)


def load_objects(path: Path) -> Objects:
    """Read the objects that `save_objects` wrote."""
    with np.load(io.BytesIO(imagecodecs.zstd_decode(path.read_bytes())), allow_pickle=False) as arrays:
        return Objects(**{name: torch.from_numpy(arrays[name]) for name in arrays.files})
