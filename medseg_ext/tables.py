"""Hold tables as columns, and write them as CSV that a spreadsheet shows and does not run."""

from __future__ import annotations

import contextlib
import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

Table = dict[str, np.ndarray]  # columns of one length, by name
# What a spreadsheet takes for a formula, and what it passes over before one; such a text gets an apostrophe more.
FORMULA = re.compile("'*[=+\\-@\\t\\r\\n\uff1d\uff0b\uff0d\uff20]")
NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, with plain Python values.

    >>> list(rows_of({"id": np.array([1, 2]), "area_px": np.array([9, 4])}))
    [{'id': 1, 'area_px': 9}, {'id': 2, 'area_px': 4}]
    """
    for values in zip(*(column.tolist() for column in table.values()), strict=True):
        yield dict(zip(table, values, strict=True))


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], *, decimals: int | None = None) -> bytes:
    r"""Format rows as CSV in UTF-8, with a header.

    Floats get 6 significant digits, or all digits before the point; what is NaN or missing becomes an empty cell. A
    text that a spreadsheet would take for a formula gets an apostrophe before it, which `read_csv_rows` takes away.

    Args:
        columns: names of the columns.
        rows: values by column.
        decimals: of floats, instead of their significant digits.

    >>> to_csv(["id", "ratio"], [{"id": 1, "ratio": 1 / 3}, {"id": 2, "ratio": float("nan")}])
    b'id,ratio\n1,0.333333\n2,\n'
    >>> to_csv(["image", "shift"], [{"image": "=1+1.png", "shift": -2}])
    b"image,shift\n'=1+1.png,-2\n"
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    quoting_writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    lines = ([_cell(row.get(column), decimals) for column in columns] for row in rows)
    for cells in chain([[_as_text(column) for column in columns]], lines):
        ends_line = any(isinstance(cell, str) and "\r" in cell for cell in cells)  # which Python leaves without quotes
        (quoting_writer if ends_line else writer).writerow(cells)
    return text.getvalue().encode()


def read_csv_rows(file: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table that `to_csv` wrote, with its texts as they were.

    Raises: OSError: it cannot be read.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        reader.fieldnames = [_from_text(name) for name in reader.fieldnames or ()]
        for row in reader:
            yield {name: _from_text(value) for name, value in row.items()}


def read_table(file: Path) -> Table:
    """Read a table that `to_csv` wrote, with the types that its columns have: whole numbers, floats or texts.

    An empty cell among numbers is NaN.

    Raises: OSError: it cannot be read.
    """
    with file.open(encoding="utf-8", newline="") as stream:
        columns = [_from_text(name) for name in next(csv.reader(stream), ())]
    rows = list(read_csv_rows(file))
    return {column: _typed([row[column] for row in rows]) for column in columns}


def _typed(texts: Sequence[str]) -> np.ndarray:
    """Give texts the type that all of them have.

    >>> _typed(["1", "2"]), _typed(["0.5", ""]), _typed(["1", "a"])
    (array([1, 2]), array([0.5, nan]), array(['1', 'a'], dtype=object))
    """
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return np.array([math.nan if kind is float and text == "" else kind(text) for text in texts], dtype=kind)
    return np.array(texts, dtype=object)


def _as_text(text: str) -> str:
    return f"'{text}" if FORMULA.match(text) and not NUMBER.fullmatch(text) else text


def _from_text(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _cell(value: Any, decimals: int | None) -> Any:
    if isinstance(value, str):
        return _as_text(value)
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.6g}" if abs(value) < 1e5 else f"{value:.1f}"
