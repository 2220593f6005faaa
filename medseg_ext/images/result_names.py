"""Know by their names the files that a segmentation has written into a folder."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from medseg_ext.errors import DataError
from medseg_ext.tables import read_csv_rows

SUMMARY_FILE = "summary.csv"
DONE_FILE = ".medseg.done.jsonl"  # notes of the images that are done
LABEL_MAP_ENDINGS = {  # by `output_format`
    "tiff": "_instances.tif",
    "nifti": "_instances.nii.gz",
    "ome-zarr": "_instances.ome.zarr",  # a folder
    "ome-zarr-0.5": "_instances.ome.zarr",
}
ENDINGS = {
    "classes": "_classes.png",
    "overlay": "_overlay.png",
    "csv": "_objects.csv",
    "geojson": "_objects.geojson",
    "geojson.gz": "_objects.geojson.gz",
    "roi": "_rois.zip",
    "ome-tiff": "_labels.ome.tif",
}


def results_among(names: Collection[str], at_hand: Callable[[str], AbstractContextManager[Path]]) -> set[str]:
    """Tell which files of a folder an earlier segmentation has written, by its own record there.

    Args:
        names: of all files of the folder.
        at_hand: gives a file of the folder by its name.
    """
    ids: set[str] = set()
    for record, ids_in in ((SUMMARY_FILE, _ids_of_summary), (DONE_FILE, noted_images)):
        if record in names:
            try:
                with at_hand(record) as file:
                    ids.update(ids_in(file))
            except (OSError, ValueError, csv.Error, DataError):  # somebody else's
                continue
    endings = (*LABEL_MAP_ENDINGS.values(), *ENDINGS.values())
    return {f"{each}{ending}" for each in ids for ending in endings}.intersection(names)


def noted_images(file: Path) -> dict[str, dict[str, Any]]:
    """Give the notes of a file, by the image's id; none where there is no such file."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {str(note["row"]["id"]): note for note in map(parsed_note, lines) if note is not None and "row" in note}


def parsed_note(line: str) -> dict[str, Any] | None:
    """Parse a line; None of one that a killed process has left cut off."""
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def _ids_of_summary(file: Path) -> Iterator[str]:
    for row in read_csv_rows(file):
        if {"image", "status"} <= row.keys() and row.get("id"):
            yield row["id"]
