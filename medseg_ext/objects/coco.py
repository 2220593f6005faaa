"""Write objects as COCO's JSON of instances, one file for all images of a run."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from medseg_ext.addresses import is_address, naming_path, place
from medseg_ext.errors import DataError
from medseg_ext.files import as_text, replacing
from medseg_ext.objects.outlined import OutlinedObject, Ring

COCO_FILE = "coco.json"
BEGINNING = '{"info":{"description":"Objects found by medseg segment"}'
CATEGORY_ID = 1


class CocoPart:
    """Write what COCO's JSON says of one image, a line of JSON for the image and for each of its objects.

    Args:
        file: is written to.
        source: path of the image, or its address.
        size: (H, W) of the image.
    """

    def __init__(self, file: IO[bytes], *, source: Path | str, size: tuple[int, int]) -> None:
        self._file = file
        self._size = size
        path = as_text(str(place(source)))
        self._write({"file_name": path, "height": int(size[0]), "width": int(size[1])})

    def add(self, found: OutlinedObject) -> None:
        """Write an object."""
        top, left, bottom, right = (found.row[f"bbox_{side}"] for side in ("top", "left", "bottom", "right"))
        self._write(
            {
                "category_id": CATEGORY_ID,
                "segmentation": segmentation(found.parts, self._size),
                "area": found.row["area_px"],
                "bbox": [left, top, right - left, bottom - top],
                "iscrowd": 0,
                "score": found.row["score"],
                "label": found.row["id"],
            }
        )

    def close(self) -> None:
        """Do nothing: the last line is written."""

    def _write(self, content: dict[str, Any]) -> None:
        self._file.write(f"{_json(content)}\n".encode())


def segmentation(parts: Sequence[Sequence[Ring]], size: tuple[int, int]) -> list[list[int]] | dict[str, Any]:
    """Describe an object in COCO's way.

    Args:
        parts: its outlines, see `medseg_ext.objects.outline_polygons`.
        size: (H, W) of the image.

    Returns:
        Polygons of its parts, (x, y) of one corner after the other; of an object with holes, which COCO's polygons do
        not have, a run-length code.
    """
    if all(len(rings) == 1 for rings in parts):
        return [[place for corner in rings[0][:-1] for place in corner] for rings in parts]
    counts = run_lengths([ring for rings in parts for ring in rings], size)
    return {"size": [int(side) for side in size], "counts": counts.tolist()}


def run_lengths(rings: Sequence[Ring], size: tuple[int, int]) -> NDArray[np.int64]:
    """Give COCO's run-length code of what rings along edges of pixels enclose an odd number of times.

    Args:
        rings: closed, of (x, y), whose edges are horizontal or vertical.
        size: (H, W) of the image.

    Returns:
        Lengths of runs down the columns, the background's first; together H * W.

    >>> run_lengths([[(1, 0), (1, 2), (2, 2), (2, 0), (1, 0)]], (3, 3))
    array([3, 2, 4])
    """
    height, width = size
    changes = []  # pixels, numbered down the columns, before which a ring is crossed
    for ring in rings:
        corners = np.array(ring, dtype=np.int64)
        (first_x, y), (last_x, _) = corners[:-1].T, corners[1:].T
        left, lengths = np.minimum(first_x, last_x), np.abs(last_x - first_x)  # of an upright edge: 0
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        changes.append((np.repeat(left, lengths) + within) * height + np.repeat(y, lengths))
    places, times = np.unique(np.concatenate(changes), return_counts=True)
    edges = places[times % 2 == 1]  # where a run ends at the foot of a column and the next begins at the head, none is
    ends = edges if edges[-1] == height * width else np.append(edges, height * width)
    return np.diff(ends, prepend=0)


def join_parts(folder: Path, parts: Sequence[Path], *, object_name: str) -> Path:
    """Write `COCO_FILE` of the parts of images, as `CocoPart` has written them; each is read line by line.

    An image is called by its file's name; where two have the same one, all are called by their paths from the folder
    that holds them all, or by their addresses.

    Args:
        folder: where to write.
        parts: in the order in which images are numbered, from 1.
        object_name: name of the one category.

    Returns:
        The file.
    """
    images = [_first(part) for part in parts]
    names = _short_names([image["file_name"] for image in images])
    category = {"id": CATEGORY_ID, "name": object_name, "supercategory": "microscopy"}
    listed = [
        {"id": number, **image, "file_name": name}
        for number, (image, name) in enumerate(zip(images, names, strict=True), start=1)
    ]
    with replacing(folder / COCO_FILE) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{BEGINNING},\n"categories":[{_json(category)}],\n"images":[')
        file.write(",\n".join(map(_json, listed)))
        file.write('],\n"annotations":[')
        before = ""
        for number, annotation in enumerate(_annotations(parts), start=1):
            file.write(f'{before}{{"id":{number},{annotation}')
            before = ",\n"
        file.write("]}\n")
    return folder / COCO_FILE


def refuse_other_coco(folder: Path) -> None:
    """Refuse to replace a file of the same name that somebody else has written. Raises: DataError: there is one."""
    path = folder / COCO_FILE
    if os.path.lexists(path) and not is_own_coco(folder):
        raise DataError(
            f"{path} is there already, and is not of an earlier run: move it away, or give another output_dir"
        )


def is_own_coco(folder: Path) -> bool:
    """Say whether a folder has a `COCO_FILE` that `join_parts` has written."""
    path = folder / COCO_FILE
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(BEGINNING)) == BEGINNING.encode()


def _first(part: Path) -> dict[str, Any]:
    with part.open(encoding="utf-8") as lines:
        image: dict[str, Any] = json.loads(next(lines))
        return image


def _annotations(parts: Sequence[Path]) -> Iterator[str]:
    """Yield the rest of each annotation after its id."""
    for image_id, part in enumerate(parts, start=1):
        with part.open(encoding="utf-8") as lines:
            next(lines)
            for line in lines:
                yield f'"image_id":{image_id},{line.rstrip()[1:]}'


def _short_names(paths: Sequence[str]) -> list[str]:
    names = [naming_path(path).name for path in paths]
    if max(Counter(names).values(), default=0) < 2:
        return names
    if any(map(is_address, paths)):
        return list(paths)
    parent = os.path.commonpath([Path(path).parent for path in paths])
    return [Path(path).relative_to(parent).as_posix() for path in paths]


def _json(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False)
