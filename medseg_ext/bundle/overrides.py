"""Read the keys of a config that follow the options of a `medseg` command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medseg_ext.bundle.keys import OWN_KEYS
from medseg_ext.bundle.values import OverrideError, Schema, literal, read_word

JSON_WORDS = {"true": True, "false": False, "null": None}  # as configs and help write what Python capitalises


def parse_overrides(
    words: Sequence[str], schemas: Mapping[str, Schema], *, remedy: str, hint: str = ""
) -> dict[str, Any]:
    """Read --KEY VALUE or --KEY=VALUE; whether the config has a key is seen later.

    Args:
        words: of the command line, after a command's own options.
        schemas: JSON Schemas of the keys that the config describes; the value of another one, such as a part's, is
            read as MONAI's command line does; true, false and null, too.
        remedy: what to give instead of a key of `OWN_KEYS`.
        hint: end of the message on a key or a value that stands alone.

    Raises:
        OverrideError: a key without a value, a value without a key or that its key does not take, or a key that is
            given in another way.

    >>> size = {"type": "array", "items": {"type": "integer"}}
    >>> parse_overrides(["--patch_size", "[512,512]", "--decoder#min_area_px=30"], {"patch_size": size}, remedy="")
    {'patch_size': [512, 512], 'decoder#min_area_px': 30}
    """
    overrides: dict[str, Any] = {}
    remaining = list(words)
    while remaining:
        key, equals, value = remaining.pop(0).partition("=")
        if not key.startswith("--"):
            dash = f"; a path is written ./{key}" if key.startswith("-") else ""
            raise OverrideError(f"{key}: expected --KEY VALUE, such as --object_diameter_px 30{hint}{dash}")
        key = key.removeprefix("--")
        if not equals:
            if not remaining or remaining[0].startswith("--"):
                raise OverrideError(f"--{key}: expected a value after it, such as --{key} True{hint}")
            value = remaining.pop(0)
        if key in OWN_KEYS:
            raise OverrideError(f"--{key}: {remedy}")
        if key in schemas:
            overrides[key] = read_word(f"--{key}", value, schemas[key])
        else:
            overrides[key] = JSON_WORDS.get(value.lower(), literal(value))
    return overrides
