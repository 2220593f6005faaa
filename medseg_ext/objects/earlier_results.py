"""Find what an earlier run has left in a folder of results."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path

from medseg_ext.errors import DataError
from medseg_ext.files import check_id
from medseg_ext.objects.done_images import DONE_FILE, noted_ids
from medseg_ext.objects.formats import ENDINGS, LABEL_MAP_ENDINGS, coco_part, remove_result
from medseg_ext.tables import read_csv_rows

SUMMARY_FILE = "summary.csv"
PROVENANCE_FILE = "provenance_inference.json"  # of `medseg_ext.runs.provenance`
NAMED = 3  # images in a message


def earlier_ids(folder: Path) -> list[str]:
    """List the images of which an earlier run has results in a folder, by its summary and its notes of what is done.

    Ids that name no file of the folder are left out.
    """
    found = dict.fromkeys(noted_ids(folder / DONE_FILE))
    with contextlib.suppress(OSError, UnicodeDecodeError):  # none, or not ours
        found |= dict.fromkeys(row.get("id") or "" for row in read_csv_rows(folder / SUMMARY_FILE))
    return [each for each in found if _names_a_file(each)]


def refuse_results_of_others(folder: Path, ids: Collection[str], *, bundle: str = "") -> None:
    """Stop before results stand beside those of other images, or of another bundle, as if they were of one run.

    Args:
        folder: to be written to; it need not exist.
        ids: of the images of this run, done before or to be done.
        bundle: name of this run's bundle; empty where it is not known.

    Raises:
        DataError: there are such results; names the folder, whose they are, and what to do.
    """
    found = earlier_ids(folder)
    if not found:
        return
    before, started = _run_before(folder)
    whose = f" with {before}" if before else ""
    remedy = "give another folder, or --overwrite True (medseg segment: --overwrite) to remove them"
    when = f", of {started}" if started else ""
    if bundle and before and before != bundle:
        raise DataError(f"{folder} holds the results of another bundle, {before}{when}: {remedy}")
    if others := [each for each in found if each not in ids]:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        names = ", ".join(others[:NAMED])
        raise DataError(f"{folder} holds the results of other images{whose}{when} ({names}{more}): {remedy}")


def remove_results(folder: Path, ids: Iterable[str]) -> None:
    """Remove the files of images that a run has written, in whichever format."""
    for image_id in ids:
        for ending in (*LABEL_MAP_ENDINGS.values(), *ENDINGS.values()):
            remove_result(folder / f"{image_id}{ending}")
        coco_part(folder, image_id).unlink(missing_ok=True)


def _run_before(folder: Path) -> tuple[str, str]:
    """Name the bundle of the run before, and the day on which it began; empty where nothing tells."""
    try:
        record = json.loads((folder / PROVENANCE_FILE).read_text(encoding="utf-8"))
        return str(record.get("bundle") or ""), str(record.get("started") or "")[:10]
    except (OSError, ValueError, AttributeError):
        return "", ""


def _names_a_file(image_id: str) -> bool:
    try:
        check_id(image_id, "")
    except DataError:
        return False
    return True
