"""Read which images belong together."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from medseg_ext.datasets.pairing import stem_of
from medseg_ext.errors import DataError


class Group(NamedTuple):
    """What an image belongs to.

    Attributes:
        name: images with the same name never stand in two splits.
        kind: kind of microscopy, by which splits are balanced; empty if unknown.
    """

    name: str
    kind: str = ""


class Grouping(NamedTuple):
    """The groups of the images of a data set.

    Attributes:
        of_image: the group of each image.
        without_group: the images that the file does not name.
        without_image: what the file names, and is none of the images.
    """

    of_image: dict[str, Group]
    without_group: list[str]
    without_image: list[str]


def read_groups(path: Path | str) -> dict[str, Group]:
    """Read a CSV file with the columns `image_id` and `group`, perhaps `kind`, and others that are ignored.

    The kind of microscopy may also be called `cluster`, as in the groups of Data Science Bowl 2018.

    Raises: DataError: unreadable; a column or a value is missing; an image stands in two groups.
    """
    path = Path(path)
    groups: dict[str, Group] = {}
    for line, row in read_csv(path, ("image_id", "group")):
        image_id, group = row["image_id"], Group(row["group"], row.get("kind") or row.get("cluster") or "")
        if not image_id or not group.name:
            raise DataError(f"{path}, line {line}: image_id or group is empty: fill it in")
        if groups.setdefault(image_id, group) != group:
            raise DataError(f"{path}, line {line}: image '{image_id}' stands in two groups: keep one")
    return groups


def _by_image(
    groups: Mapping[str, Group], image_ids: Collection[str], path: Path
) -> tuple[dict[str, Group], list[str]]:
    """Bring names of files, such as "03_2.tif", to the images that they are; what is an image's id itself stays.

    Returns: the group of each image that is named; the names that are none.
    """
    ids = set(image_ids)
    found = {name: group for name, group in groups.items() if name in ids}
    without_image = []
    for name, group in groups.items():
        file = name.replace("\\", "/")
        # images of one name in several folders have ids with the folders in front
        image_id = next((each for each in (stem_of(file.replace("/", "_")), stem_of(file)) if each in ids), None)
        if name in ids:
            continue
        if image_id is None:
            without_image.append(name)
        elif found.setdefault(image_id, group) != group:
            raise DataError(f"{path}: image '{image_id}' stands in two groups, once as '{name}': keep one")
    return found, without_image


def read_csv(path: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Read a CSV file with a header.

    Returns: number of the line and values of each row.
    Raises: DataError: unreadable, no row, or one of `columns` is missing there or in a row.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            present = set(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as CSV ({error}): check the path and the file") from error
    expected = ",".join(columns)
    if missing := set(columns) - present:
        raise DataError(f"{path} lacks the column {', '.join(sorted(missing))}: its first line must name {expected}")
    for line, row in rows:
        if any(row[column] is None for column in columns) or None in row:
            raise DataError(f"{path}, line {line}: not as many values as the first line has columns")
    if not rows:
        raise DataError(f"{path} has no rows: check that it is complete")
    return rows


def groups_of(image_ids: Iterable[str], path: Path | None) -> Grouping:
    """Find the group of each image; without a file, and where the file has none, an image is a group by itself.

    Args:
        image_ids: the images.
        path: CSV file as `read_groups` takes it, or None. Its `image_id` are those of the images, or names of
            files: then what leads to them and what they end on does not count.
    Raises: DataError: as `read_groups`; the file names none of the images, or one of them under two groups.
    """
    image_ids = list(image_ids)
    if path is None:
        return Grouping({image_id: Group(image_id) for image_id in image_ids}, [], [])
    known, without_image = _by_image(read_groups(path), image_ids, path)
    if not known:
        raise DataError(
            f"{path} names none of the images: it has '{without_image[0]}', and an image is '{image_ids[0]}'; image_id "
            "is the name of an image's file, with or without its ending; give the CSV of this data set"
        )
    # "image:" keeps a numeric id apart from a group of the same number
    return Grouping(
        {image_id: known.get(image_id, Group(f"image:{image_id}")) for image_id in image_ids},
        [image_id for image_id in image_ids if image_id not in known],
        without_image,
    )
