"""Errors, as people are told of them."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path


class DataError(ValueError):
    """Data on disk that cannot be used; the message names the file and what to do about it."""


def origin_of(error: BaseException) -> BaseException:
    """Find what an error comes from, at most a `DataError`: MONAI wraps what its transforms raise."""
    while error.__cause__ is not None and not isinstance(error, DataError):
        error = error.__cause__
    return error


class NotFiniteError(DataError):
    """A network gives values that are not finite."""


class DivergenceError(ValueError):
    """A training whose loss or weights are no longer finite; the message says where, and what to do about it."""


OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|unable to allocate|bad_alloc|not enough memory"
    r"|can't start new thread|is killed by signal: Killed|CUDNN_STATUS_ALLOC_FAILED"
    r"|could not create a (primitive|memory object)",
    re.IGNORECASE,
)  # as PyTorch, CUDA, NumPy, the system, and oneDNN say it
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if sys.platform != "win32" else (errno.ENOSPC, errno.EFBIG)
MEMORY_KEYS = {
    "train": "batch_size, patch_size, cache_rate or num_workers",
    "evaluate": "whole_image_px (of mask_rcnn, evaluate smaller images) or num_workers",
    "inference": "whole_image_px, large_image_px, tile_size or num_workers",
}  # what to lower, by workflow


def is_out_of_memory(error: BaseException | None) -> bool:
    """Say whether an error, or what it comes from, is a want of memory, of the host or of a GPU.

    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")), is_out_of_memory(OSError())
    (True, False)
    >>> is_out_of_memory(RuntimeError("could not create a primitive"))
    True
    """
    return error is not None and (
        isinstance(error, MemoryError)
        or (isinstance(error, (RuntimeError, OSError)) and bool(OUT_OF_MEMORY.search(str(error))))
        or is_out_of_memory(error.__cause__)
    )


def is_disk_full(error: BaseException | None) -> bool:
    """Say whether an error, or what it comes from, is a full disk or a quota that is used up."""
    return error is not None and (
        (isinstance(error, OSError) and error.errno in FULL) or is_disk_full(error.__cause__ or error.__context__)
    )


def reason_of(error: BaseException, path: str) -> str:
    """Say in one line why an image failed, with its name instead of its path.

    >>> reason_of(ValueError("/images/a.png is cut short"), "/images/a.png")
    'is cut short'
    """
    if is_out_of_memory(error) and not isinstance(error, DataError):
        return f"needs more memory than there is: lower {MEMORY_KEYS['inference']}"
    error = origin_of(error)
    message = " ".join(str(error).split()) or type(error).__name__
    return message.removeprefix(f"{path} ").replace(path, Path(path).name)


def one_line(error: BaseException, advice: Callable[[], str] = str) -> str:
    """Say in one line what went wrong, but for a list, such as that of the bundles, whose lines are indented.

    Args:
        error: what went wrong.
        advice: says how to go on after what may be another time, such as a full disk.

    >>> one_line(MemoryError("no"), lambda: "; to begin anew: medseg demo")
    'out of memory (no): end other programs, or give it smaller files; to begin anew: medseg demo'
    """
    message = re.sub(r"\n(?!  )", " ", str(error)) or type(error).__name__
    if is_disk_full(error):
        return f"the disk is full ({message}){advice()}"
    if is_out_of_memory(error) and "lower" not in message and "fewer" not in message:
        return f"out of memory ({message}): end other programs, or give it smaller files{advice()}"
    return message
