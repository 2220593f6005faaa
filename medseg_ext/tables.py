"""Hold tables as columns, and write them as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Table = dict[str, np.ndarray]  # columns of one length, by name


def rows_of(table: Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table, with plain Python values.

    >>> list(rows_of({"id": np.array([1, 2]), "area_px": np.array([9, 4])}))
    [{'id': 1, 'area_px': 9}, {'id': 2, 'area_px': 4}]
    """
    for values in zip(*(column.tolist() for column in table.values()), strict=True):
        yield dict(zip(table, values, strict=True))


def to_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    r"""Format rows as CSV in UTF-8, with a header.

    Floats get 6 significant digits, or all digits before the point; what is NaN or missing becomes an empty cell.

    >>> to_csv(["id", "ratio"], [{"id": 1, "ratio": 1 / 3}, {"id": 2, "ratio": float("nan")}])
    b'id,ratio\n1,0.333333\n2,\n'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    quoting_writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        cells = [_cell(row.get(column)) for column in columns]
        ends_line = any(isinstance(cell, str) and "\r" in cell for cell in cells)  # which Python leaves without quotes
        (quoting_writer if ends_line else writer).writerow(cells)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    if math.isnan(value):
        return None
    return f"{value:.6g}" if abs(value) < 1e5 else f"{value:.1f}"
