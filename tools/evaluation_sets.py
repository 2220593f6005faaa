"""Make data set folders for evaluations: unseen images, zoomed validation images, kinds that a training leaves out.

    python tools/evaluation_sets.py unseen SOURCE TARGET
    python tools/evaluation_sets.py zoomed DATA_SET TARGET
    python tools/evaluation_sets.py left_out DATA_SET TARGET

SOURCE has folders with images/<id>.png and instances/<id>.png; ids that differ only after their last `_` are of one
patient, slide or well, as `01_1` and `01_2`, and form a group, which intervals draw as a whole. Of a data set come
TARGET/x0.25 to TARGET/x3; or, for each kind of microscopy, a folder of its name with all images of this kind under
`testing`, and those of the others to train on and validate with, but none of their test images.

Unseen and zoomed images all stand in the section `testing`. An image shrinks by area and grows bicubically, a label map
by majority, so that both stay in register; an image whose objects would be less than 8 pixels across has no copy, as
nobody could tell them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from medseg_ext.datasets.data_set_folder import (
    DATASET_FILE,
    FOLDER_OF_KEY,
    SECTIONS,
    load_class_names,
    load_datalist,
    read_dataset_json,
)
from medseg_ext.errors import DataError
from medseg_ext.files import check_ids
from medseg_ext.images.png import encode_png
from medseg_ext.images.read import read_labels
from medseg_ext.images.resize import resize_labels, scaled_size
from medseg_ext.objects.diameters import typical_diameter

ZOOMS = (0.25, 1 / 3, 0.5, 1.0, 2.0, 3.0)
LEAST_DIAMETER_PX = 8

Sample = tuple[str, str, str, np.ndarray, np.ndarray, np.ndarray]
"""Id, group, kind, image uint8 (H, W, 3), label map and class map, integers (H, W)."""


def write_evaluation_set(target: Path, samples: Iterable[Sample], *, name: str, class_names: Sequence[str]) -> int:
    """Write a data set folder of which all images are for testing, none where there are none; returns their number."""
    items = []
    for image_id, group, kind, image, instances, classes in samples:
        files = {
            key: Path(key if key != "image" else "images") / f"{image_id}.png"
            for key in ("image", "instances", "classes")
        }
        for file in files.values():
            (target / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(target / files["image"])
        (target / files["instances"]).write_bytes(encode_png(instances.astype(np.uint16)))
        (target / files["classes"]).write_bytes(encode_png(classes.astype(np.uint8)))
        kinds = {"kind": kind} if kind else {}
        items.append({"id": image_id, "group": group, **kinds, **{key: file.as_posix() for key, file in files.items()}})
    if not items:
        return 0
    content = {"name": name, "class_names": list(class_names), "training": [], "validation": [], "testing": items}
    (target / DATASET_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return len(items)


def unseen_samples(folder: Path) -> Iterator[Sample]:
    """Read images with nuclei."""
    for file in sorted((folder / "images").glob("*.png")):
        instances = read_labels(folder / "instances" / file.name)
        group = file.stem.rpartition("_")[0] or file.stem
        yield file.stem, group, "", np.asarray(Image.open(file).convert("RGB")), instances, instances > 0


def zoomed_samples(items: Iterable[dict[str, str]], zoom: float) -> Iterator[Sample]:
    """Read images and zoom them, those whose objects stay large enough."""
    for item in items:
        instances = read_labels(item["instances"])
        if (typical_diameter(instances) or 0) * zoom < LEAST_DIAMETER_PX:
            continue
        image = Image.open(item["image"]).convert("RGB")
        size = scaled_size(instances.shape, zoom)
        resampling = Image.Resampling.BOX if zoom < 1 else Image.Resampling.BICUBIC
        maps = torch.from_numpy(np.stack([instances.astype(np.int32), read_labels(item["classes"]).astype(np.int32)]))
        zoomed = resize_labels(maps, size).numpy()
        pixels = np.asarray(image.resize(size[::-1], resampling))
        yield item["id"], item["group"], item.get("kind", ""), pixels, zoomed[0], zoomed[1]


def write_left_out(source: Path, target: Path) -> None:
    """Write, for each kind, a data set folder that trains without it and tests on it."""
    content = read_dataset_json(source)
    content.pop("counts", None)  # which would be others
    kinds = sorted({item.get("kind", "") for section in SECTIONS for item in content[section]} - {""})
    check_ids((kind, f"{source}, a kind") for kind in kinds)  # each names a folder
    if len(kinds) < 2:
        raise DataError(f"{source} does not tell two kinds of microscopy apart: prepare it with --groups")
    for kind in kinds:
        folder = target / kind
        for key_folder in FOLDER_OF_KEY.values():
            shutil.copytree(source / key_folder, folder / key_folder)
        of_kind = [item for section in SECTIONS for item in content[section] if item.get("kind") == kind]
        others = {
            section: [item for item in content[section] if item.get("kind") != kind]
            for section in ("training", "validation")
        }
        (folder / DATASET_FILE).write_text(
            json.dumps(content | others | {"testing": of_kind}, indent=1) + "\n", "utf-8"
        )
        print(f"{folder}: {len(others['training'])} images to train on, {len(of_kind)} to test")


def main() -> None:
    """Make what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["unseen", "zoomed", "left_out"])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    if options.what == "left_out":
        write_left_out(options.source, options.target)
        return
    sets: dict[str, Iterator[Sample]] = {}
    if options.what == "unseen":
        stem, class_names = "", ["background", "nucleus"]
        for folder in sorted(path for path in options.source.iterdir() if (path / "images").is_dir()):
            sets[folder.name] = unseen_samples(folder)
    else:
        stem, class_names = f"{read_dataset_json(options.source)['name']} ", load_class_names(options.source)
        items = load_datalist(options.source, "validation")
        for zoom in ZOOMS:
            sets[f"x{zoom:.3g}"] = zoomed_samples(items, zoom)
    if not sets:
        raise DataError(f"{options.source} has no folder with images: name the folder above")
    for name, samples in sets.items():
        count = write_evaluation_set(
            options.target / name, tqdm(samples, desc=name, disable=None), name=stem + name, class_names=class_names
        )
        print(f"{options.target / name}: {count} images")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
