"""Write what a check of a data set found as a page with pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from medseg_ext.datasets.check import CheckedImage, list_checked_images, read_pixels
from medseg_ext.datasets.findings import Case, Findings, findings_csv
from medseg_ext.errors import DataError
from medseg_ext.files import write_atomically
from medseg_ext.images.read import read_labels
from medseg_ext.objects.overlay import brightened, draw_outlines
from medseg_ext.pages.data_urls import reduced_as_data
from medseg_ext.pages.templating import fill_template

CHECK_FILE, CASES_FILE = "check.html", "check.csv"
PICTURED = 12  # cases of each problem, so that the page of a large data set can be opened
SIDE_PX, MAX_BYTES = 420, 60_000
LEAST_CUT_PX, CUT_SIDES = 64, 3  # what is shown around an object: so many of its sides


def write_check(found: Findings, dataset_dir: Path, output_dir: Path) -> Path:
    """Write `check.html`, a self-contained page, and `check.csv`, all cases.

    Args:
        found: what `medseg_ext.datasets.check_data_set` found there.
        dataset_dir: the data set folder.
        output_dir: folder of the files; made when needed.

    Returns:
        The page.
    """
    output_dir.mkdir(parents=True, exist_ok=True)
    images = {(image.id, image.section): image for image in list_checked_images(dataset_dir)}
    shown = [
        (finding, [(str(case), list(_pictures(case, images))) for case in finding.cases[:PICTURED]])
        for finding in found.findings
    ]
    content = {"found": found, "shown": shown, "pictured": PICTURED, "cases_file": CASES_FILE}
    write_atomically(output_dir / CASES_FILE, findings_csv(found))
    page = output_dir / CHECK_FILE
    write_atomically(page, fill_template("data_check.html", content, filters={}).encode())
    return page


def _pictures(case: Case, images: Mapping[tuple[str, str], CheckedImage]) -> Iterator[str]:
    for key in zip(case.ids, case.sections, strict=True):
        try:
            yield reduced_as_data(_picture(images[key], case), side_px=SIDE_PX, max_bytes=MAX_BYTES)
        except DataError:  # the case tells it
            continue


def _picture(image: CheckedImage, case: Case) -> NDArray[np.uint8]:
    """Draw an image with its labels, or the part around the first object that is meant, with those that are."""
    pixels = read_pixels(image)
    picture = brightened(pixels.astype(np.float32) / 255)
    labels = read_labels(image.files["instances"]).astype(np.int32)
    if labels.shape != picture.shape[:2] or len(case.ids) > 1:
        return picture
    if case.objects:
        labels = np.where(np.isin(labels, case.objects), labels, 0)
    drawn = draw_outlines(picture, labels, (labels > 0).astype(np.uint8))
    if not case.objects:
        return drawn
    box = find_objects((labels == case.objects[0]).astype(np.uint8))[0]
    sides = []
    for side, length in zip(box, labels.shape, strict=True):
        half = max(CUT_SIDES * (side.stop - side.start), LEAST_CUT_PX) // 2
        middle = (side.start + side.stop) // 2
        sides.append(slice(max(0, min(middle - half, length - 2 * half)), max(middle + half, 2 * half)))
    cut = np.ascontiguousarray(drawn[sides[0], sides[1]])
    factor = max(1, SIDE_PX // 2 // max(cut.shape[:2]))
    return cut.repeat(factor, axis=0).repeat(factor, axis=1)
