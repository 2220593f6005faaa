"""Write a page on which a person sees whether a preparation has taken images and labels as they are meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from skimage.segmentation import relabel_sequential

from medseg_ext.datasets.data_set_folder import FOLDER_OF_KEY, SECTIONS, read_dataset_json
from medseg_ext.datasets.preparation_table import summary
from medseg_ext.errors import DataError
from medseg_ext.files import told_if_unreadable, write_atomically
from medseg_ext.images.raster import decode_image
from medseg_ext.images.read import channels_prepared
from medseg_ext.objects.overlay import brightened, draw_outlines
from medseg_ext.pages.data_urls import reduced_as_data
from medseg_ext.pages.templating import fill_template

PREVIEW_FILE = "preview.html"
MOST_IMAGES, SIDE_PX, MOST_BYTES = 60, 700, 150_000


def write_preview(dataset_dir: Path | str, *, most_images: int = MOST_IMAGES) -> Path:
    """Write `preview.html` into a data set folder: its images with the outlines of their objects, and the table.

    Of many images, those are shown that something is told of, and others at equal steps. The page has all in itself.

    Args:
        dataset_dir: the data set folder.
        most_images: how many images are shown.
    Returns: the page.
    Raises: DataError: it is no data set folder, or a file of it cannot be read.
    """
    folder = Path(dataset_dir)
    dataset = read_dataset_json(folder)
    items = [item | {"section": section} for section in SECTIONS for item in dataset.get(section, [])]
    if not items:
        raise DataError(f"{folder} has no images: prepare it anew")
    chosen = _choose(items, dataset, most_images)
    content = {
        "name": dataset["name"],
        "table": summary(dataset),
        "images": len(items),
        "entries": [_entry(folder, item) for item in chosen],
    }
    write_atomically(folder / PREVIEW_FILE, fill_template("preview.html", content, filters={}).encode())
    return folder / PREVIEW_FILE


def _choose(
    items: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any], most_images: int
) -> list[Mapping[str, Any]]:
    """Choose images: up to half those that something is told of, then at equal steps."""
    told = " ".join(name for names in dataset.get("told", {}).values() for name in names)
    numbers = [number for number, item in enumerate(items) if item["id"] in told][: most_images // 2]
    steps = np.linspace(0, len(items) - 1, min(len(items), most_images - len(numbers))).astype(int)
    return [items[number] for number in sorted({*numbers, *steps.tolist()})]


def _entry(folder: Path, item: Mapping[str, Any]) -> dict[str, Any]:
    arrays = {}
    for key in FOLDER_OF_KEY:
        path = folder / item[key]
        with told_if_unreadable(path):
            arrays[key] = decode_image(path.read_bytes(), str(path), channel=channels_prepared(path))
    instances = relabel_sequential(arrays["instances"].astype(np.int32))[0]
    picture = brightened(arrays["image"].astype(np.float32) / 255)
    overlay = draw_outlines(picture, instances, arrays["classes"])
    return {
        "id": item["id"],
        "section": item["section"],
        "objects": int(instances.max(initial=0)),
        "size": f"{instances.shape[1]} x {instances.shape[0]} px",
        "image": reduced_as_data(picture, side_px=SIDE_PX, max_bytes=MOST_BYTES),
        "overlay": reduced_as_data(overlay, side_px=SIDE_PX, max_bytes=MOST_BYTES),
    }
