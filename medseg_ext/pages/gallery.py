"""Write the results of a segmentation as one page to look through."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tqdm import tqdm

from medseg_ext.files import write_atomically
from medseg_ext.images.result_names import ENDINGS, LABEL_MAP_ENDINGS
from medseg_ext.objects.measurements import RATIO
from medseg_ext.objects.result_folder import BETWEEN_REMARKS, GALLERY_FILE
from medseg_ext.pages.area_histogram import area_histogram
from medseg_ext.pages.gallery_pictures import SMALL_SIDE_PX, GalleryPictures, Views
from medseg_ext.pages.templating import fill_template
from medseg_ext.tables import read_csv_rows

WHAT_IS_IN = {
    ENDINGS["overlay"]: "Overlay, full size",
    ENDINGS["csv"]: "Table of objects (CSV)",
    LABEL_MAP_ENDINGS["tiff"]: "Label map (TIFF)",
    LABEL_MAP_ENDINGS["nifti"]: "Label map (NIfTI)",
    LABEL_MAP_ENDINGS["ome-zarr"]: "Label map (OME-Zarr)",
    ENDINGS["ome-tiff"]: "Label map (OME-TIFF)",
    ENDINGS["classes"]: "Class map (PNG)",
    ENDINGS["geojson"]: "Outlines for QuPath (GeoJSON)",
    ENDINGS["geojson.gz"]: "Outlines for QuPath (GeoJSON, packed)",
    ENDINGS["roi"]: "ROIs for ImageJ",
}
ALL_ROWS, MOST_ROWS = 40_000, 300  # of the tables of all images, of that of one
COLUMNS = {
    "id": "object",
    "score": "score",
    "area_px": "area, px",
    "area_um2": "area, µm²",
    RATIO: "nucleus : cytoplasm",
}
BOX = ("bbox_left", "bbox_top", "bbox_right", "bbox_bottom")


@dataclass(kw_only=True)
class ImageEntry:
    """What the page shows of an image."""

    name: str
    image_id: str
    status: str  # done, empty or unreadable
    reason: str = ""
    objects: int = 0
    mean_area_px: float = float("nan")
    mean_area_um2: float = float("nan")
    height: int = 0
    width: int = 0
    remarks: list[str] = field(default_factory=list)
    small: Views = field(default_factory=dict)
    large: Views = field(default_factory=dict)
    is_reduced: bool = False  # it has no large views, though it is larger than the small ones
    columns: list[str] = field(default_factory=list)
    table: list[tuple[str, list[str]]] = field(default_factory=list)  # bounding box and cells of each object
    files: list[tuple[str, str]] = field(default_factory=list)  # text and address of each link


def write_gallery(
    output_dir: Path,
    *,
    rows: Sequence[Mapping[str, str]],
    pictures: GalleryPictures,
    title: str,
    bundle: str,
    object_name: str,
) -> Path:
    """Write `gallery.html`: one file with all that it shows, and links to the files beside it.

    No image is read. Large views are embedded for the first images only, as `GalleryPictures` has them; the page says
    for how many.

    Args:
        output_dir: folder that `ResultFolder` has written to.
        rows: those of its `summary.csv`.
        pictures: has taken the images of all rows that are done.
        title: what the bundle is for.
        bundle: its name.
        object_name: what an object is, such as "nucleus".

    Returns:
        The page.
    """
    most_rows = min(MOST_ROWS, max(10, ALL_ROWS // len(rows)))
    large = pictures.large
    entries: list[ImageEntry] = []
    areas, areas_um2 = array("d"), array("d")  # of all objects, which may be millions
    for row in tqdm(rows, desc="writing the gallery", leave=False, disable=None):  # None: no bar without a terminal
        entry = _entry(row)
        if entry.status != "unreadable":
            entry.files = _links(output_dir, entry.image_id)
            areas_px, in_um2 = _fill_table(entry, output_dir, most_rows)
            areas += areas_px
            areas_um2 += in_um2
            entry.small, entry.large = pictures.small[entry.image_id], large.get(entry.image_id, {})
            entry.is_reduced = not entry.large and max(entry.height, entry.width) > SMALL_SIDE_PX
        entries.append(entry)
    in_micrometres = bool(areas_um2) and len(areas_um2) == len(areas)
    content = {
        "title": title,
        "bundle": bundle,
        "object_name": object_name,
        "entries": entries,
        "objects": sum(entry.objects for entry in entries),
        "states": {state: sum(entry.status == state for entry in entries) for state in ("done", "empty", "unreadable")},
        "histogram": area_histogram(areas_um2 if in_micrometres else areas),
        "area_unit": "µm²" if in_micrometres else "px",
        "remarked": sum(bool(entry.remarks) for entry in entries),
        "reduced": sum(entry.is_reduced for entry in entries),
        "first_reduced": next((number for number, entry in enumerate(entries) if entry.is_reduced), len(entries)),
    }
    html = fill_template("gallery.html", content, filters={"number": _number, "many": _many, "sentence": _sentence})
    write_atomically(output_dir / GALLERY_FILE, html.encode())
    return output_dir / GALLERY_FILE


def _entry(row: Mapping[str, str]) -> ImageEntry:
    name, image_id = row["image"], row["id"]
    remarks = list(filter(None, row["remarks"].split(BETWEEN_REMARKS)))
    if row["status"] != "ok":
        reason = row["status"].removeprefix("error: ")
        return ImageEntry(name=name, image_id=image_id, status="unreadable", reason=reason, remarks=remarks)
    objects = int(row["objects"])
    return ImageEntry(
        name=name,
        image_id=image_id,
        remarks=remarks,
        status="done" if objects else "empty",
        objects=objects,
        mean_area_px=float(row["mean_area_px"] or "nan"),
        mean_area_um2=float(row.get("mean_area_um2") or "nan"),
        height=int(row["height"]),
        width=int(row["width"]),
    )


def _links(output_dir: Path, image_id: str) -> list[tuple[str, str]]:
    files = ((text, output_dir / f"{image_id}{ending}") for ending, text in WHAT_IS_IN.items())
    return [(text, quote(file.name)) for text, file in files if file.is_file()]


def _fill_table(entry: ImageEntry, output_dir: Path, most_rows: int) -> tuple[array[float], array[float]]:
    """Put the first rows of an image's table into its entry.

    Returns:
        The areas of all its objects in pixels, and in µm²; none of these where a pixel's size is unknown.
    """
    areas, areas_um2 = array("d"), array("d")
    path = output_dir / f"{entry.image_id}{ENDINGS['csv']}"
    if not path.is_file():
        return areas, areas_um2
    for row in read_csv_rows(path):
        areas.append(float(row["area_px"]))
        if row.get("area_um2"):
            areas_um2.append(float(row["area_um2"]))
        if len(entry.table) < most_rows:
            left_out = "area_px" if "area_um2" in row else ""  # one area fits beside the picture; the file has both
            shown = [column for column in COLUMNS if column in row and column != left_out]
            entry.columns = [COLUMNS[column] for column in shown]
            entry.table.append((" ".join(row[side] for side in BOX), [_cell(row[column]) for column in shown]))
    return areas, areas_um2


def _cell(value: str) -> str:
    return value if "." not in value else f"{float(value):.2f}"


def _number(value: float) -> str:
    """Write a number for people: whole, with a narrow space between thousands; a dash where undefined."""
    return "-" if value != value else f"{value:,.0f}".replace(",", "\u202f")


def _many(number: int, one: str, many: str | None = None) -> str:
    return f"{_number(number)} {one if number == 1 else many or one + 's'}"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
