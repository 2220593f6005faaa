"""Write a prepared data set anew in less room."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from medseg_ext.datasets.data_set_folder import DATASET_FILE, SECTIONS, check_items, read_dataset_json
from medseg_ext.images.eight_bit import read_rgb_8_bit
from medseg_ext.images.read import channels_prepared


def pack_data(source: Path, target: Path, labels: Path, *, quality: int | None) -> dict[str, Any]:
    """Write a prepared data set anew, in less room; label maps and, if `quality` is None, images stay as they are.

    Args:
        source: the data set folder.
        target: folder for dataset.json and the images, WebP without loss, or JPEG.
        labels: folder for the label maps, TIFF without compression, which the archive compresses better.
        quality: of JPEG, 1 to 100; None: no loss.
    Returns: the content of the new dataset.json.
    Raises: DataError: it is not a prepared data set, a path in it leads elsewhere, or an image cannot be read.
    """
    dataset = read_dataset_json(source)
    for section in SECTIONS:
        check_items(dataset[section], f"{source / DATASET_FILE}, {section}")
    items = [item for section in SECTIONS for item in dataset[section]]

    def write(item: dict[str, str]) -> dict[str, str]:
        image = write_image(source / item["image"], target / item["image"], quality=quality)
        packed = {"image": image.relative_to(target).as_posix()}
        for key in ("instances", "classes"):
            file = PurePath(item[key]).with_suffix(".tif")
            (labels / file).parent.mkdir(parents=True, exist_ok=True)
            with Image.open(source / item[key]) as label_map:
                label_map.save(labels / file)
            packed[key] = file.as_posix()
        return packed

    with ThreadPoolExecutor() as threads:
        for item, packed in zip(items, threads.map(write, items), strict=True):
            item.update(packed)
    (target / DATASET_FILE).write_text(json.dumps(dataset, indent=1))
    return dataset


def write_image(source: Path, target: Path, *, quality: int | None) -> Path:
    """Write an image as WebP without loss or, with `quality`, as JPEG; returns the file.

    One that this makes larger, or that WebP cannot hold, is copied, and so are those of several channels.
    """
    data = source.read_bytes()
    target.parent.mkdir(parents=True, exist_ok=True)
    if channels_prepared(source) is not None:  # which neither holds
        target = target.with_suffix(source.suffix)
        target.write_bytes(data)
        return target
    pixels = read_rgb_8_bit(data, str(source))
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    if quality is not None:
        is_grey = bool((pixels == pixels[..., :1]).all())
        (image.getchannel(0) if is_grey else image).save(buffer, "JPEG", quality=quality, subsampling=0, optimize=True)
        suffix = ".jpg"
    elif max(pixels.shape) <= 16383:
        image.save(buffer, "WEBP", lossless=True, quality=80, method=4)
        suffix = ".webp"
        buffer.seek(0)
        if not np.array_equal(np.asarray(Image.open(buffer).convert("RGB")), pixels):
            raise ValueError(f"{source}: WebP did not keep its pixels; give --image-quality 100")
    written = buffer.getvalue()
    if not written or len(written) >= len(data):
        written, suffix = data, target.suffix
    target = target.with_suffix(suffix)
    target.write_bytes(written)
    return target
