"""Find what an error comes from."""

from __future__ import annotations

import re
import traceback

from medseg_ext.bundle.values import OverrideError
from medseg_ext.errors import MEMORY_KEYS, DataError, DivergenceError, is_disk_full, is_out_of_memory

USER_ERRORS = (DataError, DivergenceError, OverrideError)  # what people can mend themselves


def people_can_mend(error: BaseException) -> bool:
    """Say whether an error is told in one line, and not as a fault of the program: also a want of memory or disk."""
    return isinstance(error, USER_ERRORS) or is_out_of_memory(error) or is_disk_full(error)


def cause_of(error: BaseException) -> BaseException:
    """Find what an error comes from: the first one that this package raised, else the one at the bottom."""
    while error.__cause__ is not None and not _is_ours(error):
        error = error.__cause__
    return error


def message_of(error: BaseException, workflow: str | None = None) -> str:
    """Give an error's message without the traceback that PyTorch writes into it in a data loader's worker.

    Of a want of memory it says which keys to lower, those of the workflow if that is known.
    """
    message = str(error)
    if is_out_of_memory(error) and not isinstance(error, USER_ERRORS):
        first = (message.splitlines() or [type(error).__name__])[0]
        keys = MEMORY_KEYS[workflow] if workflow else "; ".join(f"{each}: {keys}" for each, keys in MEMORY_KEYS.items())
        return f"out of memory ({first}): lower {keys}, or end other programs"
    if re.match(r"Caught \w+ in DataLoader worker", message):
        return message.rpartition(f"{type(error).__name__}: ")[2].strip()
    return message


def _is_ours(error: BaseException) -> bool:
    """Say whether this package raised an error, and not what it calls."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_globals.get("__name__", "").partition(".")[0] == "medseg_ext"
