"""Arrange a config for people: what they may set first, with its meaning, then its parts in an authored order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from medseg_ext.bundle.keys import DESCRIPTIONS
from medseg_ext.bundle.render_error import RenderError

SETTINGS = "settings"  # the part that gets the value of each setting
CONFIGS = ("train", "evaluate", "inference")


class Order(NamedTuple):
    """In which order a config's parts stand.

    Attributes:
        parts: the keys that nobody sets on the command line.
        inside: the keys of those of them that hold parts themselves, such as `train`.
    """

    parts: Sequence[str]
    inside: Mapping[str, Sequence[str]]


def schemas_of(keys: Mapping[str, Mapping[str, Any]], config: str) -> dict[str, dict[str, Any]]:
    """Give the JSON Schemas that hold in one config.

    Args:
        keys: the merged sections `keys` of a bundle's fragments; what stands in an entry below the name of a config
            holds there, over the rest of the entry.
        config: train, evaluate or inference.

    Returns:
        The schema of each key, with its description first.

    >>> schemas_of({"lr": {"type": "number", "train": {"description": "Learning rate."}}}, "train")
    {'lr': {'description': 'Learning rate.', 'type': 'number'}}
    """
    schemas = {
        name: {key: value for key, value in entry.items() if key not in CONFIGS} | dict(entry.get(config) or {})
        for name, entry in keys.items()
    }
    return {
        name: {key: schema[key] for key in sorted(schema, key=lambda key: key != "description")}
        for name, schema in schemas.items()
    }


def arrange(
    content: Mapping[str, Any],
    config: str,
    *,
    keys: Mapping[str, Mapping[str, Any]],
    order: Order,
    origin: Callable[[str], str],
    description_of: Callable[[str], str],
) -> dict[str, Any]:
    """Put a config's settings first, in the order of their descriptions, and then its parts.

    Args:
        content: the merged config.
        config: train, evaluate or inference.
        keys: see `schemas_of`.
        order: of its parts.
        origin: names the fragment that gives a key its value, for messages.
        description_of: names the fragment that describes a key, likewise.

    Returns:
        The same content, with the schemas of its settings under `_desc_`, and with references to all of them as the
        `values` of the part `settings`, if it has that.

    Raises:
        RenderError: a key has no description, and is no part that `order` names; a description or schema is none, or
            its default is not what it says.
    """
    for name, schema in keys.items():
        if not isinstance(schema, dict):
            raise RenderError(f"{description_of(name)}: {name}: expected a schema, got {schema!r}")
    schemas = {name: schema for name, schema in schemas_of(keys, config).items() if name in content}
    for name in content:
        if name not in schemas and name not in order.parts:
            raise RenderError(
                f"{origin(name)}: {name}: has no description; describe it in the section `keys`, or name it in "
                "order.yaml if it is a part that nobody sets on the command line"
            )
    for name, schema in schemas.items():
        _check_schema(schema, f"{description_of(name)}: {name}")
        fault = _fault_of_default(schema, content[name])
        if fault:
            raise RenderError(f"{origin(name)}: {name}: {fault}; its description is in {description_of(name)}")
    parts = {name: content[name] for name in order.parts if name in content and name not in schemas}
    if SETTINGS in parts:
        parts[SETTINGS] = {**parts[SETTINGS], "values": {name: f"@{name}" for name in schemas}}
    for name, inside in order.inside.items():
        if name in parts:
            parts[name] = _sorted_as(parts[name], inside, f"{origin(name)}: {name}")
    return {DESCRIPTIONS: schemas, **{name: content[name] for name in schemas}, **parts}


def _sorted_as(content: Mapping[str, Any], order: Sequence[str], where: str) -> dict[str, Any]:
    unknown = [name for name in content if name not in order]
    if unknown:
        raise RenderError(f"{where}#{unknown[0]}: has no place in order.yaml")
    return {name: content[name] for name in order if name in content}


def _check_schema(schema: Mapping[str, Any], where: str) -> None:
    description = schema.get("description")
    if not isinstance(description, str) or not description.strip():
        raise RenderError(f"{where}: expected a description, got {description!r}")
    # MONAI's parser would evaluate it, or take a part for an id.
    if description[0] in "$@%" or "#" in description:
        raise RenderError(f"{where}: a description begins with none of $ @ % and has no #, got {description!r}")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise RenderError(f"{where}: is no JSON Schema: {error.message}") from error


def _fault_of_default(schema: Mapping[str, Any], value: Any) -> str:
    """Say why a default is not what its schema says; empty where it is, or is computed when the bundle runs."""
    is_computed = value[:1] in ("$", "@", "%") if isinstance(value, str) else isinstance(value, dict)
    if is_computed:
        return ""
    error = next(iter(Draft202012Validator(schema).iter_errors(value)), None)
    return f"its default does not fit: {error.message}" if error else ""
