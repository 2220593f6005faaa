"""List the images of a data set folder, or of any folder, as MONAI takes them."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg_ext.data.errors import DataError
from medseg_ext.data.formats import FORMAT_NAMES, fitting_id, image_stem, is_image_file

DATASET_FILE = "dataset.json"
SECTIONS = ("training", "validation", "testing")
FOLDER_OF_KEY = {"image": "images", "instances": "instances", "classes": "classes"}
PREPARE = "prepare it with data_scripts/prepare_dsb2018.py or data_scripts/prepare_segpc2021.py"


def read_dataset_json(dataset_dir: Path | str) -> dict[str, Any]:
    """Read what a data set folder says about itself.

    Raises: DataError: there is no such folder, it is empty or not prepared, or its dataset.json is broken.
    """
    folder = Path(dataset_dir)
    file = folder / DATASET_FILE
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give dataset_dir a prepared data set, or {PREPARE}")
    if not any(folder.iterdir()):
        raise DataError(f"{folder} is empty: {PREPARE}")
    if not file.is_file():
        raise DataError(f"{folder} is not a prepared data set, it has no {DATASET_FILE}: {PREPARE}")
    try:
        dataset = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is broken ({error}): delete the folder, then {PREPARE}") from error
    if not isinstance(dataset, dict):
        raise DataError(f"{file} holds no JSON object: delete the folder, then {PREPARE}")
    return dataset


def load_datalist(
    dataset_dir: Path | str, section: str, *, class_names: Sequence[str] | None = None
) -> list[dict[str, str]]:
    """List one section of a data set folder.

    Args:
        dataset_dir: the data set folder.
        section: training, validation or testing.
        class_names: those of the bundle, which must be those of the data set; None takes any.
    Returns: for each image its `id` and `group`, and absolute paths under `image`, `instances` and `classes`.
    Raises: DataError: as `read_dataset_json`; the section is missing, broken or empty; a listed file is missing;
        the classes are others.
    """
    if section not in SECTIONS:
        raise DataError(f"{dataset_dir} can have the sections {', '.join(SECTIONS)}, not '{section}'")
    if class_names is not None and list(class_names) != load_class_names(dataset_dir):
        raise DataError(
            f"{dataset_dir} has the classes {load_class_names(dataset_dir)}, this bundle has {list(class_names)}:"
            " give it a data set of its kind, or take another bundle"
        )
    folder, file = Path(dataset_dir).absolute(), Path(dataset_dir) / DATASET_FILE
    items = read_dataset_json(dataset_dir).get(section)
    if not isinstance(items, list):
        raise DataError(f"{file} has no list '{section}': delete the folder, then {PREPARE}")
    if not items:
        raise DataError(f"{file} has no image in its section '{section}': {PREPARE} with other --fractions")
    datalist = []
    for number, item in enumerate(items):
        if not isinstance(item, dict) or not {*FOLDER_OF_KEY, "id", "group"} <= item.keys():
            raise DataError(f"{file}, {section} item {number} lacks a key: delete the folder, then {PREPARE}")
        datalist.append(item | {key: str(folder / item[key]) for key in FOLDER_OF_KEY})
    for item in datalist:
        for key in FOLDER_OF_KEY:
            if not Path(item[key]).is_file():
                raise DataError(f"{item[key]} is missing, though {file} lists it: delete the folder, then {PREPARE}")
    return datalist


def load_class_names(dataset_dir: Path | str) -> list[str]:
    """List the class names of a data set folder, in the order of their indices; the first is the background.

    Raises: DataError: as `read_dataset_json`, or there are no class names.
    """
    names = read_dataset_json(dataset_dir).get("class_names")
    if not isinstance(names, list) or not names:
        raise DataError(f"{Path(dataset_dir) / DATASET_FILE} has no class_names: delete the folder, then {PREPARE}")
    return names


def list_images(path: Path | str) -> list[dict[str, str]]:
    """List images for inference.

    Args:
        path: an image, or a folder of images; folders inside it are left out.
    Returns: sorted by name, for each its absolute path under `image`, and under `id` its name without suffix, or
        with suffix where two would be alike; shortened where no file could have it with an ending.
    Raises: DataError: nothing there, or no file of a format that can be read.
    """
    path = Path(path).absolute()
    if not path.exists():
        raise DataError(f"{path} does not exist: give dataset_dir an image or a folder of images")
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    images = [file for file in inside if is_image_file(file, chosen=file == path)]
    if not images:
        hint = f"; did you mean {path / 'images'}?" if (path / "images").is_dir() else ""
        found = "is empty" if not inside else "holds no image" if path.is_dir() else "is not an image"
        raise DataError(f"{path} {found}: give dataset_dir {FORMAT_NAMES} files{hint}")
    ids = [image_stem(file) for file in images]
    while alike := {name for name, times in Counter(ids).items() if times > 1}:
        # more than one turn when a full name, such as a.png, is the stem of another file, a.png.tif
        ids = [file.name if name in alike else name for file, name in zip(images, ids, strict=True)]
    return [{"image": str(file), "id": fitting_id(name)} for file, name in zip(images, ids, strict=True)]
