"""Give values to MONAI's parser so that they come out as they went in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

CONFIG_MARKS = ("$", "@", "%")  # a string of a config that begins with one is an expression, a reference or a macro
_ESCAPED = {ord(mark): f"\\x{ord(mark):02x}" for mark in "#@%"}


def as_path(value: Any) -> Any:
    """Turn a path, or a list of paths, into objects, which the parser leaves alone; null stays null.

    Of strings it makes `::` of every `#`, and reads those that begin with one of `CONFIG_MARKS`.
    """
    if isinstance(value, list):
        return [as_path(each) for each in value]
    return Path(value) if isinstance(value, str) else value


def as_literal(value: Any) -> Any:
    r"""Write a value of JSON's types that the parser would change as an expression that gives it.

    >>> as_literal("Plate 2"), as_literal([256, 256])
    ('Plate 2', [256, 256])
    >>> print(as_literal("Plate #2"))
    $'Plate \x232'
    """
    text = ascii(value)
    if not set("#$@%") & set(text):
        return value
    return f"${text.translate(_ESCAPED)}"  # all stand in strings, where Python reads these escapes


def as_part(value: Any) -> Any:
    """Write a value for a part of a config, where strings that begin with one of `CONFIG_MARKS` are for the parser."""
    return as_literal(value) if isinstance(value, str) and not value.startswith(CONFIG_MARKS) else value
