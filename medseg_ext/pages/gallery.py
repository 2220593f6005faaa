"""Write the results of a segmentation as one page to look through."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from medseg_ext.files import write_atomically
from medseg_ext.images.blocks import open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.raster import decode_image
from medseg_ext.objects.measurements import RATIO
from medseg_ext.objects.overlay import brightened
from medseg_ext.objects.result_folder import GALLERY_FILE
from medseg_ext.pages.area_histogram import area_histogram
from medseg_ext.pages.data_urls import reduced_as_data
from medseg_ext.pages.templating import fill_template

WHAT_IS_IN = {
    "overlay.png": "Overlay, full size",
    "objects.csv": "Table of objects (CSV)",
    "instances.tif": "Label map (TIFF)",
    "instances.nii.gz": "Label map (NIfTI)",
    "classes.png": "Class map (PNG)",
    "objects.geojson": "Outlines for QuPath (GeoJSON)",
}
SMALL_SIDE_PX, LARGE_SIDE_PX = 360, 1100
# So that a page of 500 images stays below 30 MB: of the characters of all pictures, small ones take up to the share.
PICTURE_CHARACTERS, SHARE_OF_SMALL = 23_000_000, 0.6
SMALL_BYTES, LARGE_BYTES = 22_000, 260_000  # of one picture at most
CHARACTERS_PER_BYTE = 4 / 3  # of base64
ALL_ROWS, MOST_ROWS = 40_000, 300  # of the tables of all images, of that of one
COLUMNS = {"id": "object", "score": "score", "area_px": "area, px", RATIO: "nucleus : cytoplasm"}
BOX = ("bbox_left", "bbox_top", "bbox_right", "bbox_bottom")


@dataclass(kw_only=True)
class ImageEntry:
    """What the page shows of an image; pictures are data URLs, empty where there is none."""

    name: str
    image_id: str
    status: str  # done, empty or unreadable
    reason: str = ""
    objects: int = 0
    mean_area_px: float = float("nan")
    height: int = 0
    width: int = 0
    small: dict[str, str] = field(default_factory=dict)  # by "image" and "overlay"
    large: dict[str, str] = field(default_factory=dict)
    is_reduced: bool = False  # there is no picture in the page as large as the large ones
    columns: list[str] = field(default_factory=list)
    table: list[tuple[str, list[str]]] = field(default_factory=list)  # bounding box and cells of each object
    files: list[tuple[str, str]] = field(default_factory=list)  # text and address of each link


def write_gallery(
    output_dir: Path,
    *,
    rows: Sequence[Mapping[str, str]],
    images: Mapping[str, str],
    title: str,
    bundle: str,
    object_name: str,
    page: int = 0,
    channel: int | str | None = None,
) -> Path:
    """Write `gallery.html`: one file with all that it shows, and links to the files beside it.

    One image at a time is in the memory. Large pictures are embedded for the first images only, until the page would
    become too large; it says for how many.

    Args:
        output_dir: folder that `ResultFolder` has written to.
        rows: those of its `summary.csv`.
        images: path of each image by its id.
        title: what the bundle is for.
        bundle: its name.
        object_name: what an object is, such as "nucleus".
        page: which page of a TIFF was segmented.
        channel: which channel, if one was chosen.

    Returns:
        The page.
    """
    small_bytes = int(min(SMALL_BYTES, SHARE_OF_SMALL * PICTURE_CHARACTERS / CHARACTERS_PER_BYTE / (2 * len(rows))))
    left = PICTURE_CHARACTERS - 2 * len(rows) * small_bytes * CHARACTERS_PER_BYTE
    most_rows = min(MOST_ROWS, max(10, ALL_ROWS // len(rows)))
    entries: list[ImageEntry] = []
    areas: list[float] = []
    reduced = 0
    for row in tqdm(rows, desc="writing the gallery", leave=False, disable=None):  # None: no bar without a terminal
        entry = _entry(row)
        if entry.status != "unreadable":
            entry.files = _links(output_dir, entry.image_id)
            areas += _fill_table(entry, output_dir, most_rows)
            pictures = _pictures(output_dir, entry, images[entry.image_id], page, channel)
            entry.small = _reduced(pictures, SMALL_SIDE_PX, small_bytes)
            if max(entry.height, entry.width) > SMALL_SIDE_PX and pictures:
                large = {} if reduced else _reduced(pictures, LARGE_SIDE_PX, LARGE_BYTES)
                left -= sum(map(len, large.values()))
                entry.is_reduced = bool(reduced) or left < 0
                entry.large = {} if entry.is_reduced else large
                reduced += entry.is_reduced
        entries.append(entry)
    content = {
        "title": title,
        "bundle": bundle,
        "object_name": object_name,
        "entries": entries,
        "objects": sum(entry.objects for entry in entries),
        "states": {state: sum(entry.status == state for entry in entries) for state in ("done", "empty", "unreadable")},
        "histogram": area_histogram(areas),
        "reduced": reduced,
        "first_reduced": next((number for number, entry in enumerate(entries) if entry.is_reduced), len(entries)),
    }
    html = fill_template("gallery.html", content, filters={"number": _number, "many": _many})
    write_atomically(output_dir / GALLERY_FILE, html.encode())
    return output_dir / GALLERY_FILE


def _entry(row: Mapping[str, str]) -> ImageEntry:
    if row["status"] != "ok":
        reason = row["status"].removeprefix("error: ")
        return ImageEntry(name=row["image"], image_id=row["id"], status="unreadable", reason=reason)
    objects = int(row["objects"])
    return ImageEntry(
        name=row["image"],
        image_id=row["id"],
        status="done" if objects else "empty",
        objects=objects,
        mean_area_px=float(row["mean_area_px"] or "nan"),
        height=int(row["height"]),
        width=int(row["width"]),
    )


def _links(output_dir: Path, image_id: str) -> list[tuple[str, str]]:
    files = ((text, output_dir / f"{image_id}_{ending}") for ending, text in WHAT_IS_IN.items())
    return [(text, quote(file.name)) for text, file in files if file.is_file()]


def _fill_table(entry: ImageEntry, output_dir: Path, most_rows: int) -> list[float]:
    """Put the first rows of an image's table into its entry; returns the areas of all its objects."""
    path = output_dir / f"{entry.image_id}_objects.csv"
    if not path.is_file():
        return []
    areas = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        shown = [column for column in COLUMNS if column in (reader.fieldnames or [])]
        entry.columns = [COLUMNS[column] for column in shown]
        for row in reader:
            areas.append(float(row["area_px"]))
            if len(entry.table) < most_rows:
                entry.table.append((" ".join(row[side] for side in BOX), [_cell(row[column]) for column in shown]))
    return areas


def _pictures(
    output_dir: Path, entry: ImageEntry, image: str, page: int, channel: int | str | None
) -> dict[str, NDArray[np.uint8]]:
    """Read the image, as bright as in its overlay and of the same size, and the overlay."""
    path = output_dir / f"{entry.image_id}_overlay.png"
    if not path.is_file():
        return {}
    overlay = decode_image(path.read_bytes(), str(path))
    factor = math.ceil(max(entry.height, entry.width) / max(overlay.shape[:2]))  # those of large images are reduced
    with pixel_io():
        pixels = open_block_image(Path(image), page=page, channel=channel).read_shrunk(
            Box(0, 0, entry.height, entry.width), factor
        )
    return {"image": brightened(pixels), "overlay": overlay}


def _reduced(pictures: Mapping[str, NDArray[np.uint8]], side_px: int, max_bytes: int) -> dict[str, str]:
    return {name: reduced_as_data(picture, side_px=side_px, max_bytes=max_bytes) for name, picture in pictures.items()}


def _cell(value: str) -> str:
    return value if "." not in value else f"{float(value):.2f}"


def _number(value: float) -> str:
    """Write a number for people: whole, with a narrow space between thousands; a dash where undefined."""
    return "-" if value != value else f"{value:,.0f}".replace(",", "\u202f")


def _many(number: int, one: str, many: str | None = None) -> str:
    return f"{_number(number)} {one if number == 1 else many or one + 's'}"
