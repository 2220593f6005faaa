"""Read the keys of a config that follow the options of a `medseg` command."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medseg_ext.bundle.keys import DESCRIPTIONS, OWN_KEYS
from medseg_ext.bundle.values import OverrideError, Schema, literal, read_word, shown
from medseg_ext.bundle.verbatim import CONFIG_MARKS

JSON_WORDS = {"true": True, "false": False, "null": None}  # as configs and help write what Python capitalises
# What an expression that computes with numbers is made of.
ARITHMETIC = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop, ast.Constant, ast.Name, ast.Load)


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


def refuse_misfits(overrides: Mapping[str, Any], config: Mapping[str, Any], *, options: Iterable[str] = ()) -> None:
    """Stop when a key is to be overridden that a config does not have, or a number of a part by text.

    Args:
        overrides: values by key, such as `decoder#min_area_px`; of what the config describes only the key is looked at.
        config: the content of the config.
        options: those of the command itself, such as `--output`, which may be meant; it has some for `OWN_KEYS`.

    Raises:
        OverrideError: one is no key of the config; names the nearest one. Or its value is text, and the config has a
            number, or true or false.

    >>> refuse_misfits({"outptu": 1}, {"output_dir": "", "seed": 0}, options=["--output"])
    Traceback (most recent call last):
    medseg_ext.bundle.values.OverrideError: --outptu: no such key in the config; did you mean --output?
    """
    own = [word.removeprefix("--") for word in options]
    known = sorted(key for key in config if not key.startswith("_") and not (own and key in OWN_KEYS))
    for key, value in overrides.items():
        default = _value_at(config, key)
        if default is _NOTHING or key.startswith("_"):
            nearest = nearest_of(key, [*own, *sorted(known, key=list(config).index)])
            hint = f"did you mean --{nearest}?" if nearest else f"the config has: {', '.join(known)}"
            raise OverrideError(f"--{key}: no such key in the config; {hint}")
        if key in config.get(DESCRIPTIONS, {}) or not is_text(value) or not _is_number(default):
            continue
        kind = "True or False" if isinstance(default, bool) else "number"
        raise OverrideError(f"--{key} {shown(value)}: expected {kind}, as the config's own {default}")


def nearest_of(word: str, known: Sequence[str]) -> str | None:
    """Find what is most like a misspelt word; of those that are alike the first.

    >>> nearest_of("size", ["size_px", "size_um"])
    'size_px'
    """
    like = set(difflib.get_close_matches(word, known, n=len(known) or 1))
    return max(
        (each for each in known if each in like),
        key=lambda each: difflib.SequenceMatcher(None, each, word).ratio(),
        default=None,
    )


def is_computed(value: Any) -> bool:
    """Say whether a value is an expression or a reference, which MONAI's parser evaluates or looks up."""
    return isinstance(value, str) and value.startswith(CONFIG_MARKS)


def is_text(value: Any) -> bool:
    """Say whether a value is text, and nothing that MONAI's parser evaluates or looks up."""
    return isinstance(value, str) and not is_computed(value)


def _is_number(value: Any) -> bool:
    """Say whether a value of a config is a number, true or false, or an expression that computes with numbers.

    >>> [_is_number(value) for value in (15, "$0.1 * @size ** 2", "$0 if @kept else 0.5 * @size", "$@a or @b", "@size")]
    [True, True, True, False, False]
    """
    if not is_computed(value) or not value.startswith("$"):
        return isinstance(value, (bool, int, float))
    try:
        expression = ast.parse(value[1:].replace("@", "").replace("#", "_"), mode="eval")
    except SyntaxError:
        return False
    chosen = expression.body.orelse if isinstance(expression.body, ast.IfExp) else expression.body
    return isinstance(chosen, ast.BinOp) and all(
        isinstance(node, ARITHMETIC) and isinstance(getattr(node, "value", 0), (int, float))
        for node in ast.walk(chosen)
    )


_NOTHING = object()


def _value_at(config: Any, key: str) -> Any:
    """Look up a key such as `handlers#0#load_path` as MONAI's parser does; `_NOTHING` where there is none."""
    for part in re.split("#|::", key):
        if isinstance(config, Mapping) and part in config:
            config = config[part]
        elif isinstance(config, list) and re.fullmatch(r"-?\d+", part) and -len(config) <= int(part) < len(config):
            config = config[int(part)]
        else:
            return _NOTHING
    return config
