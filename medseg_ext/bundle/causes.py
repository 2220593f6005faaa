"""Find what an error comes from."""

from __future__ import annotations

import re
import traceback

from medseg_ext.bundle.values import OverrideError
from medseg_ext.errors import DataError, DivergenceError

USER_ERRORS = (DataError, DivergenceError, OverrideError)  # what people can mend themselves


def cause_of(error: BaseException) -> BaseException:
    """Find what an error comes from: the first one that this package raised, else the one at the bottom."""
    while error.__cause__ is not None and not _is_ours(error):
        error = error.__cause__
    return error


def message_of(error: BaseException) -> str:
    """Give an error's message without the traceback that PyTorch writes into it in a data loader's worker."""
    message = str(error)
    if re.match(r"Caught \w+ in DataLoader worker", message):
        return message.rpartition(f"{type(error).__name__}: ")[2].strip()
    return message


def _is_ours(error: BaseException) -> bool:
    """Say whether this package raised an error, and not what it calls."""
    frames = list(traceback.walk_tb(error.__traceback__))
    return bool(frames) and frames[-1][0].f_globals.get("__name__", "").partition(".")[0] == "medseg_ext"
