"""Write JSON for people to read."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any

WIDTH = 120
INDENT = 4


def format_json(content: Any, *, one_line: Container[str] = (), width: int = WIDTH) -> str:
    """Write JSON with what belongs together on one line: a list or an object of plain values, where it is short.

    Args:
        content: what `json.dumps` takes.
        one_line: keys of the outermost object, below each of which every entry takes one line, however long.
        width: most characters of any other line that could be broken.

    Returns:
        The text, which ends with a line break.

    >>> print(format_json({"sides": [256, 256], "network": {"_target_": "Net", "widths": {"first": 8}}}), end="")
    {
        "sides": [256, 256],
        "network": {
            "_target_": "Net",
            "widths": {"first": 8}
        }
    }
    """
    return _text(content, "", 0, one_line, width) + "\n"


def _text(value: Any, indent: str, taken: int, one_line: Container[str], width: int) -> str:
    """Write a value whose first line begins after `taken` characters."""
    flat = _flat(value)
    if not isinstance(value, (dict, list)) or not value:
        return flat
    members = value.values() if isinstance(value, dict) else value
    is_plain = not any(isinstance(member, (dict, list)) and member for member in members)
    if is_plain and taken + len(flat) < width:  # less: a comma may follow
        return flat
    inner = indent + " " * INDENT
    lines = []
    for key, member in value.items() if isinstance(value, dict) else ((None, member) for member in value):
        name = "" if key is None else f"{_flat(key)}: "
        if key in one_line and isinstance(member, dict) and not indent:
            text = _entries(member, inner)
        else:
            text = _text(member, inner, len(inner) + len(name), (), width)
        lines.append(f"{inner}{name}{text}")
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{indent}{closing}"


def _entries(value: dict[str, Any], indent: str) -> str:
    inner = indent + " " * INDENT
    return "{\n" + ",\n".join(f"{inner}{_flat(key)}: {_flat(each)}" for key, each in value.items()) + f"\n{indent}}}"


def _flat(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
