"""Errors, as people are told of them."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """Data on disk that cannot be used; the message names the file and what to do about it."""


def reason_of(error: BaseException, path: str) -> str:
    """Say in one line why an image failed, with its name instead of its path.

    >>> reason_of(ValueError("/images/a.png is cut short"), "/images/a.png")
    'is cut short'
    """
    while error.__cause__ is not None and not isinstance(error, DataError):  # MONAI wraps what its transforms raise
        error = error.__cause__
    message = " ".join(str(error).split()) or type(error).__name__
    return message.removeprefix(f"{path} ").replace(path, Path(path).name)
