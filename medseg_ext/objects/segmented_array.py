"""Hold what was found in an image, as arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medseg_ext.tables import Table

_COLUMN, _NUCLEI, _SUMMARY = "column ", "nuclei", "summary"


class SegmentedArray(NamedTuple):
    """What was found in an image.

    Attributes:
        objects: label map, int32 (H, W); 0 is background.
        nuclei: likewise, of those objects' nuclei, under the numbers of the objects; None of a bundle whose objects
            have no parts.
        table: the columns of `<name>_objects.csv`, one value an object, in the order of `id`, its label.
        summary: the row of `summary.csv`, such as `object_diameter_px` and `remarks`.
    """

    objects: NDArray[np.int32]
    nuclei: NDArray[np.int32] | None
    table: Table
    summary: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write it to a file, for another process."""
        columns = {
            f"{_COLUMN}{name}": column.astype(str) if column.dtype == object else column
            for name, column in self.table.items()
        }
        nuclei = {} if self.nuclei is None else {_NUCLEI: self.nuclei}
        summary = np.array(json.dumps(self.summary, default=float))
        with path.open("wb") as file:
            np.savez(file, objects=self.objects, **{_SUMMARY: summary}, **nuclei, **columns)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> SegmentedArray:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            table = {name.removeprefix(_COLUMN): file[name] for name in file.files if name.startswith(_COLUMN)}
            nuclei = file[_NUCLEI] if _NUCLEI in file.files else None
            return cls(file["objects"], nuclei, table, json.loads(str(file[_SUMMARY])))
