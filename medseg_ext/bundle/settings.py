"""See that a workflow gets the values of its keys as they were typed."""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping
from typing import Any

import torch

from medseg_ext.bundle.monai_command_line import read_options
from medseg_ext.bundle.values import OverrideError, Schema, check_value, is_path, read_word, shown
from medseg_ext.bundle.verbatim import CONFIG_MARKS


def settle(
    values: Mapping[str, Any], *, schemas: Mapping[str, Schema], resolved: MutableMapping[str, Any]
) -> dict[str, Any]:
    """Check the value of each key that a config describes, and put right what was changed on its way.

    A workflow of a bundle begins with it, before anything is read or written. On MONAI's command line Fire makes a
    number of `20251105` and `runA` of `runA#2`, and MONAI's parser makes `::` of `#`: the words are read here once
    more, as `medseg` reads them. What comes from Python is checked, and paths and texts that are objects become
    strings. An expression is evaluated by MONAI, and its value checked.

    Args:
        values: what has arrived, by key.
        schemas: JSON Schema of each key.
        resolved: what MONAI's parser has resolved so far, by id, which is where it finds what an `@key` stands for; an
            expression knows it as `__local_refs`.

    Returns:
        The value of each key, of JSON's types.

    Raises:
        OverrideError: a key is one of a part, or does not take its value; the machine has no such device; or a path or
            text from Python is a string that may have had a `#`.
    """
    if odd := [key for key in schemas if not key.isidentifier()]:
        raise OverrideError(f"{odd[0]}: expected a key of the config itself, not of a part")
    typed, settled = read_options(), {}
    for key, schema in schemas.items():
        word, given = typed.get(key, (None, None))
        if isinstance(given, str) and given.startswith(CONFIG_MARKS):
            word, given = None, None
        if word is not None:
            value = read_word(f"--{key}", word, schema)
        elif given is not None:
            value = check_value(f"--{key}", given, schema)
        else:
            value = _check_arrived(key, values[key], schema)
            if not typed:
                _refuse_rewritten(key, values[key], values.get("bundle_root"), schema)
        if schema.get("format") == "device" and isinstance(value, str):  # by default it is there
            _refuse_absent(key, value)
        resolved[key] = settled[key] = value
    if "bundle_root" in typed:
        for key in schemas.keys() - typed.keys():
            if is_path(schemas[key]):
                del resolved[key]  # found anew when asked for: by default it lies in the bundle
    return {key: str(value) if isinstance(value, torch.device) else value for key, value in settled.items()}


def _check_arrived(key: str, value: Any, schema: Schema) -> Any:
    if isinstance(value, torch.device):  # what a device is by default; text when it is given
        check_value(key, str(value), schema)
        return value
    return check_value(key, value, schema)


def _refuse_absent(key: str, name: str) -> None:
    """Stop at a device that this machine, or this PyTorch, does not have."""
    kind, _, number = name.partition(":")
    try:
        count = torch.get_device_module(kind).device_count()
    except RuntimeError:  # PyTorch was built without it
        count = 0
    if int(number or 0) >= count:
        has = {0: f"no {kind} device", 1: f"only {kind}:0"}.get(count, f"only {kind}:0 to {kind}:{count - 1}")
        raise OverrideError(
            f"--{key} {name}: PyTorch {torch.__version__} finds {has} on this machine; give another one, such as cpu, "
            f"or leave --{key} out"
        )


def _refuse_rewritten(key: str, value: Any, bundle_root: Any, schema: Schema) -> None:
    """Stop at a string in which MONAI's parser may have written `::` for `#`; an object it leaves as it is."""
    what, remedy = ("a path", "pathlib.Path") if is_path(schema) else ("text", "medseg_ext.bundle.Verbatim")
    trusted = os.fspath(bundle_root) if isinstance(bundle_root, os.PathLike) else ""
    for text in value if isinstance(value, (list, tuple)) else [value]:
        if isinstance(text, str) and "::" in text.removeprefix(trusted):
            raise OverrideError(
                f"{key} {shown(text)}: expected {what} without :: and #, of which MONAI's parser makes ::; "
                f"give another one as a {remedy}, or in a config as an expression such as $'a\\x23b'"
            )
