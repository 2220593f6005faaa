"""Errors, as people are told of them."""

from __future__ import annotations

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


def reason_of(error: BaseException, path: str) -> str:
    """Say in one line why an image failed, with its name instead of its path.

    >>> reason_of(ValueError("/images/a.png is cut short"), "/images/a.png")
    'is cut short'
    """
    error = origin_of(error)
    message = " ".join(str(error).split()) or type(error).__name__
    return message.removeprefix(f"{path} ").replace(path, Path(path).name)
