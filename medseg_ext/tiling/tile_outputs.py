"""Keep what a network gives for the tiles of a large image in files, for all regions and processes that need it."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from medseg_ext.files import write_atomically
from medseg_ext.images.boxes import Box
from medseg_ext.inferers.tiled import Tile


def read_output(
    region: Box, tiles: Sequence[Tile], *, compute: Callable[[Tile], torch.Tensor], folder: Path
) -> torch.Tensor:
    """Give a network's output for a region of an image.

    The outputs of the tiles that it overlaps are taken from their files, and computed where there are none. Regions
    are best read in rows from the top: files of what lies more than a region above are deleted. Several processes may
    read at once; whoever does not find a file makes it.

    Args:
        region: a part of the image.
        tiles: those of the whole image.
        compute: gives the output of a tile's core, float32 (C, h, w).
        folder: takes the files.

    Returns:
        float32 (C, h, w).
    """
    parts = {tile.core.intersection(region): tile for tile in tiles if tile.core.overlaps(region)}
    output: NDArray[np.float32] | None = None
    # The smallest last: another process may be at it, whose region lies beside this one.
    for box in sorted(parts, key=lambda box: math.prod(box.size), reverse=True):
        part = _part_of(parts[box], box, folder, compute)
        if output is None:
            output = np.empty((len(part), *region.size), dtype=part.dtype)
        output[:, *box.inside(region)] = part
    assert output is not None, f"{region} is not of the image"
    for tile in tiles:
        if tile.core.bottom <= region.top - region.size[0]:
            with suppress(OSError):  # another process has deleted it, or reads it where that keeps it
                _file_of(tile, folder).unlink()
    return torch.from_numpy(output)


def _file_of(tile: Tile, folder: Path) -> Path:
    return folder / f"output-{tile.core.top}-{tile.core.left}.npy"


def _part_of(tile: Tile, box: Box, folder: Path, compute: Callable[[Tile], torch.Tensor]) -> NDArray[np.float32]:
    """Give the output of a box of a tile's core."""
    file, place = _file_of(tile, folder), (slice(None), *box.inside(tile.core))
    with suppress(FileNotFoundError):
        stored: NDArray[np.float32] = np.load(file, mmap_mode="r")[place]
        return stored
    computed: NDArray[np.float32] = compute(tile).cpu().numpy()
    content = io.BytesIO()
    np.save(content, computed)
    write_atomically(file, content.getvalue(), at_once=False)
    return computed[place]
