"""Know what was given for a run, whichever way it came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from medseg_ext.bundle.monai_command_line import OWN_OPTIONS, read_options
from medseg_ext.runs.provenance import Provenance

_given: ContextVar[Mapping[str, Any] | None] = ContextVar("given", default=None)


@contextmanager
def given_as(overrides: Mapping[str, Any]) -> Iterator[None]:
    """Remember what is given for a run that is carried out inside; what encloses another one counts."""
    token = _given.set(overrides if _given.get() is None else _given.get())
    try:
        yield
    finally:
        _given.reset(token)


def given_overrides() -> dict[str, Any] | None:
    """Give the values of keys, and of parts of the config, that were given for this run.

    Returns:
        Values by key; None of a workflow that was made in Python by MONAI alone, which does not tell.
    """
    if options := read_options():
        return {key: option.value for key, option in options.items() if key not in OWN_OPTIONS}
    given = _given.get()
    return None if given is None else dict(given)


def write_provenance(provenance: Provenance) -> None:
    """Write what an inference is made with, in its workflow; `medseg_ext.bundle.segment`, which has several, has it."""
    if _given.get() is None:
        provenance.write()
