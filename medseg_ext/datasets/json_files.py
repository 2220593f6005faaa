"""Read JSON files of a source."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from typing import Any

from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError
from medseg_ext.memory import TEXT_GROWS, check_bytes, most_bytes

GZIP_START = b"\x1f\x8b"
PEEK_BYTES = 65536


def read_json(source: Source, name: str) -> Any:
    """Read a JSON file, also one packed with gzip. Raises: DataError: it is broken."""
    try:
        return json.loads(_unpacked(source.read(name), source.where(name)))
    except DataError:
        raise
    except (ValueError, RecursionError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{source.where(name)} is no JSON, or is cut short ({error}): export it again") from error


def is_json_name(name: str) -> bool:
    """Say whether a file has a name of JSON.

    >>> [is_json_name(name) for name in ("a.json", "b.GeoJSON.gz", "c.gz")]
    [True, True, False]
    """
    return name.lower().removesuffix(".gz").endswith((".json", ".geojson"))


def beginning(source: Source, name: str) -> bytes:
    """Give the first bytes of a file, unpacked; of a broken one none."""
    try:
        data = source.read(name)
        return zlib.decompressobj(31).decompress(data, PEEK_BYTES) if data.startswith(GZIP_START) else data[:PEEK_BYTES]
    except (DataError, zlib.error):
        return b""


def _unpacked(data: bytes, where: str) -> bytes:
    if data.startswith(GZIP_START):
        with gzip.open(io.BytesIO(data)) as file:
            data = file.read(most_bytes() // TEXT_GROWS + 1)
    check_bytes(TEXT_GROWS * len(data), where, remedy="export fewer images to a file")
    return data
