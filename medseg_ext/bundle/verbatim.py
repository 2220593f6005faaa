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


class Verbatim:
    """A text that arrives as it is: of strings the parser makes `::` of every `#`, and evaluates some.

    `create_workflow(title=Verbatim("Plate #2"))`; `settle` makes a string of it again.

    Args:
        text: the text.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return repr(self.text)


def as_verbatim(value: Any) -> Any:
    """Turn the texts of a value of JSON's types into objects, which the parser leaves alone.

    >>> as_verbatim(["Plate #2", 256])
    ['Plate #2', 256]
    >>> type(as_verbatim("Plate #2")).__name__
    'Verbatim'
    """
    if isinstance(value, list):
        return [as_verbatim(each) for each in value]
    return Verbatim(value) if isinstance(value, str) else value


def as_part(value: Any) -> Any:
    r"""Write a text for a part of a config, if the parser would change it, as an expression that gives it.

    Strings that begin with one of `CONFIG_MARKS` are for the parser.

    >>> as_part("Plate 2"), as_part("$1 + 1"), as_part([256, 256])
    ('Plate 2', '$1 + 1', [256, 256])
    >>> print(as_part("Plate #2"))
    $'Plate \x232'
    """
    if not isinstance(value, str) or value.startswith(CONFIG_MARKS) or not set("#@%") & set(value):
        return value
    return f"${ascii(value).translate(_ESCAPED)}"  # all stand in the string, where Python reads these escapes
