"""List the images of a data set folder as MONAI takes them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg_ext.errors import DataError
from medseg_ext.files import check_ids, check_inner_path, told_if_unreadable, unreadable
from medseg_ext.images.channels import as_typed

DATASET_FILE = "dataset.json"
SECTIONS = ("training", "validation", "testing")
FOLDER_OF_KEY = {"image": "images", "instances": "instances", "classes": "classes"}
CHANNEL = "channel"  # in dataset.json: which channels of the raw images were taken, if a person said so
NOT_STATED = "not stated"  # licence or origin of people's own data
ADVICE = "prepare it with `medseg prepare`"


def read_dataset_json(dataset_dir: Path | str) -> dict[str, Any]:
    """Read what a data set folder says about itself.

    Raises: DataError: there is no such folder, it is empty or not prepared, or its dataset.json is broken.
    """
    folder = Path(dataset_dir)
    file = folder / DATASET_FILE
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder: give dataset_dir a prepared data set, or {ADVICE}")
    if not any(folder.iterdir()):
        raise DataError(f"{folder} is empty: {ADVICE}")
    if not file.is_file():
        raise DataError(f"{folder} is not a prepared data set, it has no {DATASET_FILE}: {ADVICE}")
    with told_if_unreadable(file):
        content = file.read_bytes()
    try:
        dataset = json.loads(content)
    except ValueError as error:
        raise DataError(f"{file} is broken ({error}): delete the folder, then {ADVICE}") from error
    if not isinstance(dataset, dict):
        raise DataError(f"{file} holds no JSON object: delete the folder, then {ADVICE}")
    return dataset


def load_datalist(
    dataset_dir: Path | str,
    section: str,
    *,
    class_names: Sequence[str] | None = None,
    channel: int | str | Sequence[int | str] | None = None,
) -> list[dict[str, str]]:
    """List one section of a data set folder.

    Args:
        dataset_dir: the data set folder.
        section: training, validation or testing.
        class_names: those of the bundle, which must be those of the data set; None takes any.
        channel: which channels of raw images a network sees. A list must be that of the data set, and a data set of
            several channels wants one, unless `class_names` is None.
    Returns: for each image its `id`, its `group`, empty where it has none, and its `kind`, where it has one; absolute
        paths under `image`, `instances` and `classes`.
    Raises: DataError: as `read_dataset_json` and `check_items`; the section is missing, broken or empty; a listed file
        is missing; the classes are others.
    """
    items = read_section(dataset_dir, section)
    if class_names is not None and list(class_names) != load_class_names(dataset_dir):
        raise DataError(
            f"{dataset_dir} has the classes {load_class_names(dataset_dir)}, this bundle has {list(class_names)}:"
            " give it a data set of its kind, or take another bundle"
        )
    if class_names is not None:
        _refuse_other_channels(dataset_dir, channel)
    folder, file = Path(dataset_dir).absolute(), Path(dataset_dir) / DATASET_FILE
    datalist = []
    for item in items:
        kind = {"kind": item["cluster"]} if "cluster" in item else {}  # as folders of the first format call it
        group = {"group": str(item.get("group", ""))}  # of what others wrote, it may be a number
        datalist.append(kind | item | group | {key: str(folder / item[key]) for key in FOLDER_OF_KEY})
    for item in datalist:
        for key in FOLDER_OF_KEY:
            if not _is_file(item[key]):
                raise DataError(f"{item[key]} is missing, though {file} lists it: delete the folder, then {ADVICE}")
    return datalist


def read_section(dataset_dir: Path | str, section: str) -> list[dict[str, Any]]:
    """Read one section of a data set folder, as it stands in dataset.json.

    Args:
        dataset_dir: the data set folder.
        section: training, validation or testing.
    Raises: DataError: as `read_dataset_json` and `check_items`; the section is another, missing, broken or empty.
    """
    if section not in SECTIONS:
        raise DataError(f"{dataset_dir} can have the sections {', '.join(SECTIONS)}, not '{section}'")
    file = Path(dataset_dir) / DATASET_FILE
    items = read_dataset_json(dataset_dir).get(section)
    if not isinstance(items, list):
        raise DataError(f"{file} has no list '{section}': delete the folder, then {ADVICE}")
    if not items:
        raise DataError(f"{file} has no image in its section '{section}': {ADVICE} with other --fractions")
    check_items(items, f"{file}, {section}")
    return items


def _refuse_other_channels(dataset_dir: Path | str, channel: int | str | Sequence[int | str] | None) -> None:
    """Refuse images of other channels than a network sees. Raises: DataError: names both, and the remedy."""
    of_data = read_dataset_json(dataset_dir).get(CHANNEL)
    several, wanted = (list(each) if isinstance(each, (list, tuple)) else None for each in (of_data, channel))
    if several != wanted:
        told = ["grey or RGB" if each is None else f"the channels {each}" for each in (several, wanted)]
        remedy = (
            f"give --channel {shlex.quote(as_typed(several))}"
            if several
            else "prepare it with them (medseg prepare --channel)"
        )
        raise DataError(f"{dataset_dir} holds {told[0]}, this network sees {told[1]}: {remedy}")


def check_items(items: Sequence[Any], where: str) -> None:
    """Check the images of a section as it stands in dataset.json, before their ids and paths name files.

    Args:
        items: the section.
        where: it stands, for the messages.
    Raises: DataError: one lacks a key; an id cannot name files, or two are the same, see `check_ids`; a path leads out
        of the data set folder, see `check_inner_path`. Links in the folder may lead anywhere.
    """
    for number, item in enumerate(items):
        if not isinstance(item, dict) or not {*FOLDER_OF_KEY, "id"} <= item.keys():
            raise DataError(f"{where} item {number} lacks a key: delete the folder, then {ADVICE}")
    check_ids((item["id"], f"{where} item {number}") for number, item in enumerate(items))
    for number, item in enumerate(items):
        for key in FOLDER_OF_KEY:
            check_inner_path(item[key], f"{where} item {number}, '{item['id']}': {key}")


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except PermissionError as error:
        raise unreadable(path, error) from error
    except OSError:  # such as a name that no file can have
        return False


def load_class_names(dataset_dir: Path | str) -> list[str]:
    """List the class names of a data set folder, in the order of their indices; the first is the background.

    Raises: DataError: as `read_dataset_json`, or there are no class names.
    """
    names = read_dataset_json(dataset_dir).get("class_names")
    if not isinstance(names, list) or not names:
        raise DataError(f"{Path(dataset_dir) / DATASET_FILE} has no class_names: delete the folder, then {ADVICE}")
    return names
