"""List the images of a data set folder, or of any folder, as MONAI takes them."""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

from medseg_ext.data.errors import DataError
from medseg_ext.data.formats import FORMAT_NAMES, as_text, fitting_id, image_stem, is_image_file

DATASET_FILE = "dataset.json"
SECTIONS = ("training", "validation", "testing")
FOLDER_OF_KEY = {"image": "images", "instances": "instances", "classes": "classes"}
# How files are named to tell them apart, the shortest first.
NAMINGS: tuple[Callable[[Path], str], ...] = (
    image_stem,
    lambda file: file.name,
    lambda file: f"{file.parent.name}_{image_stem(file)}",
    lambda file: f"{file.parent.name}_{file.name}",
)
OTHERS_NAMED = 5  # of what a folder holds besides images
PREPARE = "prepare it with data_scripts/prepare_dsb2018.py or data_scripts/prepare_segpc2021.py"

logger = logging.getLogger(__name__)


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


def list_images(path: Path | str | Sequence[Path | str]) -> list[dict[str, str]]:
    """List images for inference.

    Args:
        path: an image, or a folder of images; folders inside it are left out. Or several of both.
    Returns: in the order of `path`, those of a folder sorted by name, none twice; for each its absolute path under
        `image`, and a unique name under `id`: the file's without suffix; with suffix where two would be alike; with
        the folder's before it where the suffix is the same, too; with a number after it as the last resort;
        shortened where no file could have it with an ending.
        What else a folder holds is logged as passed over, but for hidden files.
    Raises: DataError: nothing there, or no file of a format that can be read.
    """
    paths = [path] if isinstance(path, (str, Path)) else path
    if not paths:
        raise DataError("dataset_dir is an empty list: give it an image or a folder of images")
    images = list(dict.fromkeys(file for each in paths for file in _images_in(Path(each).absolute())))
    ids = map(fitting_id, _unique_names(images))
    return [{"image": str(file), "id": name} for file, name in zip(images, ids, strict=True)]


def _images_in(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path} does not exist: give an image or a folder of images")
    inside = sorted(path.iterdir()) if path.is_dir() else [path]
    images = [file for file in inside if is_image_file(file, chosen=file == path)]
    if not images:
        hint = f"; did you mean {path / 'images'}?" if (path / "images").is_dir() else ""
        found = "is empty" if not inside else "holds no image" if path.is_dir() else "is not an image"
        raise DataError(f"{path} {found}: give {FORMAT_NAMES} files{hint}")
    taken = set(images)
    if others := [file.name for file in inside if file not in taken and not file.name.startswith(".")]:
        more = f" and {len(others) - OTHERS_NAMED} more" if len(others) > OTHERS_NAMED else ""
        names = as_text(", ".join(others[:OTHERS_NAMED]))
        logger.warning("%s: passed over, as they are no %s files: %s%s", path, FORMAT_NAMES, names, more)
    return images


def _unique_names(files: Sequence[Path]) -> list[str]:
    """Give each file the first of `NAMINGS` that tells it from all others."""
    steps = [0] * len(files)
    while True:  # more than one turn when a full name, such as a.png, is the stem of another file, a.png.tif
        names = [NAMINGS[step](file) for step, file in zip(steps, files, strict=True)]
        alike = defaultdict(list)
        for position, name in enumerate(names):
            alike[name].append(position)
        before = list(steps)
        for group in (each for each in alike.values() if len(each) > 1):
            for step in range(max(steps[each] for each in group), len(NAMINGS)):
                if len({NAMINGS[step](files[each]) for each in group}) == len(group):
                    for each in group:
                        steps[each] = step
                    break
        if steps == before:
            return _numbered(names)


def _numbered(names: Sequence[str]) -> list[str]:
    """Put numbers after names that are there already: folders of one name hold files of one name."""
    taken = set(names)
    unique: dict[str, None] = {}
    for name in names:
        numbered = (f"{name}_{number}" for number in count(2))
        free = (each for each in chain([name], numbered) if each not in unique and (each == name or each not in taken))
        unique[next(free)] = None
    return list(unique)
