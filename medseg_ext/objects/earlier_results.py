"""Find what an earlier run has left in a folder of results."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from medseg_ext.errors import DataError
from medseg_ext.files import as_text, check_id
from medseg_ext.images.result_names import DONE_FILE, ENDINGS, LABEL_MAP_ENDINGS, SUMMARY_FILE, noted_images
from medseg_ext.objects.done_images import Item, Note, is_of_same_image
from medseg_ext.objects.formats import coco_part, remove_result
from medseg_ext.tables import read_csv_rows

PROVENANCE_FILE = "provenance_inference.json"  # of `medseg_ext.runs.provenance`
NAMED = 3  # images in a message


def earlier_ids(folder: Path) -> list[str]:
    """List the images of which an earlier run has results in a folder, by its summary and its notes of what is done.

    Ids that name no file of the folder are left out.
    """
    return _ids_in(noted_images(folder / DONE_FILE), _summary(folder))


def refuse_results_of_others(
    folder: Path, items: Iterable[Item], *, kept: Collection[str] = (), bundle: str = ""
) -> None:
    """Stop before results stand beside those of other images, or of another bundle, as if they were of one run.

    Images of other places are others, though they have the same names: their results would be overwritten.

    Args:
        folder: to be written to; it need not exist.
        items: the images of this run.
        kept: ids of those whose results are of this run already.
        bundle: name of this run's bundle; empty where it is not known.

    Raises:
        DataError: there are such results; names the folder, whose they are, and what to do.
    """
    notes, rows = noted_images(folder / DONE_FILE), _summary(folder)
    found = _ids_in(notes, rows)
    if not found:
        return
    record = _record(folder)
    before, started = str(record.get("bundle") or ""), str(record.get("started") or "")[:10]
    whose = f" with {before}" if before else ""
    remedy = "give another folder, or --overwrite True (medseg segment: --overwrite) to remove them"
    when = f", of {started}" if started else ""
    if bundle and before and before != bundle:
        raise DataError(f"{folder} holds the results of another bundle, {before}{when}: {remedy}")
    by_id = {item["id"]: item for item in items}
    if others := [each for each in found if each not in by_id and each not in kept]:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        names = ", ".join(others[:NAMED])
        raise DataError(f"{folder} holds the results of other images{whose}{when} ({names}{more}): {remedy}")
    again = [by_id[each] for each in found if each in by_id and each not in kept]
    if others := list(islice(_of_other_places(again, notes, rows, record), NAMED + 1)):
        more = " and more" if len(others) > NAMED else ""
        names = as_text(", ".join(others[:NAMED]))
        raise DataError(
            f"{folder} holds the results of other images of the same names{whose}{when} ({names}{more}): {remedy}"
        )


def remove_results(folder: Path, ids: Iterable[str]) -> None:
    """Remove the files of images that a run has written, in whichever format."""
    for image_id in ids:
        for ending in (*LABEL_MAP_ENDINGS.values(), *ENDINGS.values()):
            remove_result(folder / f"{image_id}{ending}")
        coco_part(folder, image_id).unlink(missing_ok=True)


def _of_other_places(
    items: Iterable[Item],
    notes: Mapping[str, Note],
    rows: Iterable[Mapping[str, str]],
    record: Mapping[str, Any],
) -> Iterator[str]:
    """Yield where images were, or their ids, whose results are those of another image than the one of that id."""
    with_results = {row.get("id") for row in rows if row.get("status", "ok") == "ok"}
    settings = record.get("settings")
    given = settings.get("dataset_dir") if isinstance(settings, dict) else None
    named = [Path(os.path.realpath(each)) for each in (given if isinstance(given, list) else [given]) if each]
    for item in items:
        if note := notes.get(item["id"]):
            if not is_of_same_image(note, item):
                yield str(note.get("place") or item["id"])
        elif item["id"] in with_results and named:  # the notes are lost: what was named for the run tells
            place = Path(os.path.realpath(item["image"]))
            if not any(place.is_relative_to(each) for each in named):
                yield item["id"]


def _ids_in(notes: Iterable[str], rows: Iterable[Mapping[str, str]]) -> list[str]:
    found = dict.fromkeys([*notes, *(row.get("id") or "" for row in rows)])
    return [each for each in found if _names_a_file(each)]


def _summary(folder: Path) -> list[dict[str, str]]:
    """Give the rows of a summary; none where there is no such file, or one of somebody else."""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return list(read_csv_rows(folder / SUMMARY_FILE))
    return []


def _record(folder: Path) -> dict[str, Any]:
    """Give what the run before says of itself; empty where nothing tells."""
    try:
        record = json.loads((folder / PROVENANCE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _names_a_file(image_id: str) -> bool:
    try:
        check_id(image_id, "")
    except DataError:
        return False
    return True
