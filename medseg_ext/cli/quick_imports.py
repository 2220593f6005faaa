"""Import frameworks in less time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quick_imports() -> Iterator[None]:
    """Leave what is imported inside out of the search for garbage, now and until the process ends.

    Thousands of modules hold a million objects, none of them garbage. Looking through them again and again took a
    third of the time that MONAI takes to be imported, and a second at the end.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
