"""Read what a person may set in a rendered config, with nothing but the standard library."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OWN_KEYS = ("bundle_root", "dataset_dir", "output_dir")  # which commands have options of their own for
DESCRIPTIONS = "_desc_"  # a config's first key: for each key that a person may set its JSON Schema and meaning
TYPES = {"number": "number", "integer": "whole number", "boolean": "true or false", "null": "null"}
PLURALS = {"text": "texts", "number": "numbers", "whole number": "whole numbers", "path": "paths"}


@dataclass(frozen=True)
class Key:
    """A key of a config that a person may set.

    Attributes:
        name: the key.
        description: its meaning, a sentence.
        default: its value in the config, as text; empty where it is computed when the bundle runs.
        type: what it may be, for people: "whole number, at least 1".
    """

    name: str
    description: str
    default: str
    type: str


def read_keys(config_file: Path | str) -> list[Key]:
    """Read the keys that a person may set in a config, in its order.

    Args:
        config_file: `train.json`, `evaluate.json` or `inference.json` of a bundle.

    Returns:
        The keys; none where the config describes none.
    """
    return keys_of(read_config(config_file))


def read_schemas(config_file: Path | str) -> dict[str, dict[str, Any]]:
    """Read the JSON Schema of each key that a person may set in a config, in its order."""
    schemas: dict[str, dict[str, Any]] = read_config(config_file).get(DESCRIPTIONS, {})
    return schemas


def read_defaults(config_file: Path | str) -> dict[str, Any]:
    """Read what stands for each key that a person may set in a config; what is computed is an expression."""
    content = read_config(config_file)
    return {key: content.get(key) for key in content.get(DESCRIPTIONS, {})}


def read_config(config_file: Path | str) -> dict[str, Any]:
    """Read the content of a rendered config."""
    content: dict[str, Any] = json.loads(Path(config_file).read_text(encoding="utf-8"))
    return content


def keys_of(config: Mapping[str, Any]) -> list[Key]:
    """List the keys that a person may set, of the content of a config.

    >>> keys_of({"_desc_": {"seed": {"type": "integer", "description": "Seed."}}, "seed": 0})
    [Key(name='seed', description='Seed.', default='0', type='whole number')]
    """
    return [
        Key(name, schema.get("description", ""), default_text(config.get(name)), type_text(schema))
        for name, schema in config.get(DESCRIPTIONS, {}).items()
    ]


def default_text(value: Any) -> str:
    """Write a default for people; empty for what is computed.

    >>> default_text([256, 256]), default_text(None), default_text("tiff")
    ('[256, 256]', 'null', 'tiff')
    >>> default_text("$os.path.join(@bundle_root, 'eval')")
    'bundle_root/eval'
    """
    if not isinstance(value, str):
        return "" if isinstance(value, dict) else json.dumps(value, ensure_ascii=False)
    joined = re.fullmatch(r"\$os\.path\.join\(@(\w+), '([^']*)'\)", value)
    if joined:
        return "/".join(joined.groups())
    return "" if value[:1] in ("$", "@", "%") else value


def type_text(schema: Mapping[str, Any]) -> str:
    """Say for people what a JSON Schema allows.

    >>> type_text({"type": ["integer", "null"], "minimum": 1})
    'whole number, at least 1, or null'
    >>> type_text({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2})
    'list of 2 numbers'
    >>> type_text({"enum": ["tiff", "nifti"]})
    'one of tiff, nifti'
    >>> type_text({"type": "array", "items": {"enum": ["csv", "roi"]}})
    'list of any of csv, roi'
    """
    if "enum" in schema:
        values = [value for value in schema["enum"] if value is not None]
        texts = [f"one of {', '.join(map(default_text, values))}"] + ["null"] * (None in schema["enum"])
    else:
        types = schema.get("type", [])
        texts = [_one_type(each, schema) for each in ([types] if isinstance(types, str) else types)]
    if not texts:
        return "anything"
    comma = "," if "," in texts[-2:][0] else ""  # "path or null", but "whole number, at least 1, or null"
    return f"{comma} or ".join(texts)


def _one_type(name: str, schema: Mapping[str, Any]) -> str:
    if name == "array":
        return _list_text(schema)
    if name == "string":
        return _string_text(schema)
    if name == "integer" and "multipleOf" in schema:
        text = f"multiple of {schema['multipleOf']}"
    else:
        text = TYPES.get(name, name)
    limits = _range_text(schema) if name in ("integer", "number") else ""
    return f"{text}, {limits}" if limits else text


def _string_text(schema: Mapping[str, Any]) -> str:
    word = re.fullmatch(r"\^(\w+)\$", schema.get("pattern", ""))
    if word:
        return word[1]
    if schema.get("format") == "path":
        return "path"
    examples = " or ".join(schema.get("examples", []))
    return f"text such as {examples}" if examples else "text"


def _list_text(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if "enum" in schema.get("items", {}):
        return f"list of any of {', '.join(map(default_text, schema['items']['enum']))}"
    count = f"{least} " if least == most else f"at least {least} " if least > 1 else ""
    item, _, limits = type_text(schema["items"]).partition(", ") if "items" in schema else ("", "", "")
    if not item:
        return "list"
    items = PLURALS.get(item, item.replace("multiple of", "multiples of"))
    return f"list of {count}{items}" + (f", each {limits}" if limits else "")


def _range_text(schema: Mapping[str, Any]) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f"from {schema['minimum']} to {schema['maximum']}"
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    return " and ".join(f"{word} {schema[name]}" for name, word in words.items() if name in schema)
