"""Read and check the values of a config's keys by the JSON Schema that the config has of each."""

from __future__ import annotations

import io
import math
import os
import tokenize
from collections.abc import Iterator, Mapping
from typing import Any

import fire.parser
from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from medseg_ext.bundle.keys import type_text
from medseg_ext.bundle.verbatim import Verbatim
from medseg_ext.errors import DataError
from medseg_ext.images.channels import read_channels

Schema = Mapping[str, Any]
CHANNELS = "channels"  # the format of a key
NULLS = ("null", "none")


class OverrideError(ValueError):
    """An override names no key of the config, or has a value that its key does not take."""


def read_word(key: str, word: str, schema: Schema) -> Any:
    """Read a word of the command line as the value of a key.

    What the key takes as text stays as it was typed, whatever it looks like. Numbers and lists are Python's, with bare
    words in brackets as text, as MONAI's command line reads them; true, false and null need no capital, and None is
    null, too. Channels are read as `medseg_ext.images.channels.read_channels` does.

    Args:
        key: as it stands on the command line, such as `--patch_size`; for the message.
        word: what was typed.
        schema: JSON Schema of the key.

    Raises:
        OverrideError: the key does not take it.

    >>> read_word("--dataset_dir", "20251105", {"type": "string"})
    '20251105'
    >>> read_word("--seed", "null", {"type": ["integer", "null"]})
    >>> read_word("--formats", "csv,ome-tiff", {"type": "array", "items": {"enum": ["csv", "ome-tiff"]}})
    ['csv', 'ome-tiff']
    """
    if schema.get("format") == CHANNELS:
        return None if word.lower() in NULLS else _channels(key, word, schema)
    checker = _Validator(schema)
    for value in _readings(word, schema):
        if checker.is_valid(value):
            return _whole(value, schema)
    raise OverrideError(_complaint(key, word, schema))


def _channels(key: str, word: str, schema: Schema) -> Any:
    try:
        return read_channels(word)
    except DataError as error:
        raise OverrideError(_complaint(key, word, schema)) from error


def check_value(key: str, value: Any, schema: Schema) -> Any:
    """Check a value that came from Python or from a config.

    Args:
        key: for the message.
        value: what came; paths may be `pathlib` objects, texts `Verbatim`, lists tuples, and numbers NumPy's.
        schema: JSON Schema of the key.

    Returns:
        The value, of JSON's types.

    Raises:
        OverrideError: the key does not take it.
    """
    plain = _plain(value)
    if not _Validator(schema).is_valid(plain):
        raise OverrideError(_complaint(key, repr(value), schema))
    return _whole(plain, schema)


def is_path(schema: Schema) -> bool:
    """Say whether a key takes a path, or several."""
    return schema.get("format") == "path"


def literal(word: str) -> Any:
    """Read a word as MONAI's command line does, which is Fire's, but for what Fire cuts or cannot read: that is text.

    >>> literal("[512, 512]"), literal("cpu"), literal("try#2"), literal("run2 # of 3")
    ([512, 512], 'cpu', 'try#2', 'run2 # of 3')
    """
    return word if is_cut(word) else _by_fire(word)


def is_cut(word: str) -> bool:
    """Say whether MONAI's command line takes the end of a word for a comment.

    >>> is_cut("runA#2"), is_cut("runs/try#2"), is_cut("'runA#2'")
    (True, False, False)
    """
    if "#" not in word or _by_fire(word) == word:
        return False
    tokens = tokenize.generate_tokens(io.StringIO(word).readline)
    return any(token.type == tokenize.COMMENT for token in tokens)


def _by_fire(word: str) -> Any:
    try:
        return fire.parser.DefaultParseValue(word)
    except (TypeError, RecursionError, MemoryError):  # such as {[a]}
        return word


def shown(word: str) -> str:
    r"""Write a word for a message of one line.

    >>> print(shown("my images"), shown("two\nlines"))
    my images 'two\nlines'
    """
    return word if word.isprintable() and word else repr(word)


def _readings(word: str, schema: Schema) -> Iterator[Any]:
    """Yield what a word may mean, the most particular first."""
    lower = word.lower()
    if lower in NULLS:
        yield None
    if lower in ("true", "false"):
        yield lower == "true"
    if is_path(schema) and os.path.lexists(word):  # [a] is a list, but where there is such a folder
        yield word
    value = _plain(literal(word))
    if not isinstance(value, str):
        yield value
    if "enum" in schema.get("items", {}):  # words such as ome-tiff are a difference to Python
        yield [each.strip(" '\"") for each in word.removeprefix("[").removesuffix("]").split(",")]
    yield word


def _plain(value: Any) -> Any:
    """Turn what Python has of paths, lists and numbers into JSON's types."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, Verbatim):
        return value.text
    return value.tolist() if hasattr(value, "tolist") else value


def _whole(value: Any, schema: Schema) -> Any:
    """Turn 512.0, which JSON Schema takes for a whole number, into 512 where only those are allowed."""
    if isinstance(value, list) and "items" in schema:
        return [_whole(each, schema["items"]) for each in value]
    types = schema.get("type", [])
    only_whole = "integer" in types and "number" not in types
    return int(value) if isinstance(value, float) and only_whole else value


def _complaint(key: str, word: str, schema: Schema) -> str:
    return f"{key} {shown(word)}: expected {type_text(schema)}"


def _is_finite_number(checker: Any, value: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and (isinstance(value, int) or math.isfinite(value))


_Validator = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_finite_number),
)
