"""Write a data set folder from raw images, whatever set they belong to."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from medseg_ext.datasets.data_set_folder import CHANNEL, DATASET_FILE, FOLDER_OF_KEY, SECTIONS
from medseg_ext.datasets.groups import Group, groups_of
from medseg_ext.datasets.raw_images import RawImage, RawPart, check_ids_of_parts
from medseg_ext.datasets.splits import choose_sections
from medseg_ext.datasets.workspace import Note, Workspace, path_in_data_set
from medseg_ext.datasets.write_images import write_images
from medseg_ext.errors import DataError
from medseg_ext.files import file_sha256
from medseg_ext.folder_lock import FolderLock

FORMAT = 3  # raise it when the same source gives other files than before
SAME_IMAGE = "image of the same pixels as another, so that it may be in training and in testing"
EMPTY = "image without objects"


@dataclass(frozen=True)
class DataSetFacts:
    """What is the same for every copy of a data set.

    Attributes:
        name: how people call it.
        class_names: names of the classes in the order of their indices.
        object_name: what one label of the label map is.
        licence: SPDX identifier, or "not stated".
        origin: address of its publisher, or "not stated".
    """

    name: str
    class_names: tuple[str, ...]
    object_name: str
    licence: str
    origin: str


class SplitOptions(TypedDict, total=False):
    """The arguments of `write_data_set` that every data set hands through, explained there."""

    groups: Path | None
    seed: int
    fractions: Sequence[float]
    splits_from: Path | None
    workers: int | None


def write_data_set(
    facts: DataSetFacts,
    parts: Sequence[RawPart],
    target: Path | str,
    *,
    tables: Iterable[Path] = (),
    recipe: Mapping[str, Any] | None = None,
    groups: Path | None = None,
    seed: int = 0,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    splits_from: Path | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Write the data set folder of raw images; the same input gives the same bytes.

    Args:
        facts: the data set.
        parts: its sources with their images.
        target: folder to write; it may hold an unfinished run of the same command, which then goes on.
        tables: further files that were read, whose hashes are to be noted.
        recipe: what else decides on what is written.
        groups: CSV file that names the group of each image, see `read_groups`.
        seed: another number is another split.
        fractions: shares of training, validation and testing, among the images that are not bound to a section.
        splits_from: a data set folder or its dataset.json, whose split is to be taken over by image id.
        workers: number of processes; all cores if None.
    Returns: the content of dataset.json.
    Raises: DataError: anything unusable; nothing of this command is left in `target` then. Or another run is writing
        there.
    """
    target = Path(target)
    for part in parts:
        if part.source.path.is_dir() and target.resolve().is_relative_to(part.source.path.resolve()):
            raise DataError(f"{target} lies inside the source {part.source.path}: give a folder outside of it")
    images = sorted((image for part in parts for image in part.images), key=lambda image: image.id)
    if not images:
        raise DataError(f"{parts[0].source.path} holds no image with masks: check that it is complete")
    check_ids_of_parts(parts)
    grouping = groups_of([image.id for image in images], groups)
    group_of = grouping.of_image
    section_of = choose_sections(images, group_of, fractions=fractions, seed=seed, splits_from=splits_from)
    all_that_decides = {
        "format": FORMAT,
        "sources": [_source_entry(part) for part in parts] + [_file_entry(table) for table in tables],
        "groups": _file_entry(groups) if groups else None,
        "splits_from": _file_entry(_dataset_file(splits_from)) if splits_from else None,
        "seed": seed,
        "fractions": list(fractions),
        **(recipe or {}),
    }
    workspace = Workspace(target, all_that_decides)
    finished = workspace.finished()
    with FolderLock(target, what="a preparation", enabled=finished is None):
        if finished := finished or workspace.finished():  # again, as another process may have finished it meanwhile
            _refuse_other_facts(facts, finished, target)
            print(f"{target} is complete already, nothing was written", file=sys.stderr)
            return finished
        workspace.open()
        try:
            notes = write_images(parts, workspace, workers=workers)
        except DataError:
            workspace.discard()
            raise
        sections: dict[str, list[dict[str, str]]] = {section: [] for section in SECTIONS}
        apart = workspace.apart is not None
        for image in images:
            sections[section_of[image.id]].append(_item(image.id, group_of[image.id], apart=apart))
        dataset = {
            "name": facts.name,
            "class_names": list(facts.class_names),
            "object": facts.object_name,
            "licence": facts.licence,
            "origin": facts.origin,
            "preparation": all_that_decides,
            **{key: value for key, value in all_that_decides.items() if key == CHANNEL},
            "counts": {section: _count(items, notes) for section, items in sections.items()},
            "skipped": _merge([*map(_skipped, parts), *(note["skipped"] for note in notes.values())]),
            "told": _merge([_told_of_images(images, notes), *(note["told"] for note in notes.values())]),
            "labelled": _total(notes, objects="labelled_objects", area_px="labelled_px"),
            "taken": _total(notes, objects="objects", area_px="taken_px"),
            "classes_of_objects": _classes(notes.values()),
            "overlap_px": sum(note["overlap_px"] for note in notes.values()),
            "without_group": grouping.without_group,
            "groups_without_image": grouping.without_image,
            **sections,
        }
        workspace.finish(dataset)
    return dataset


def _item(image_id: str, group: Group, *, apart: bool) -> dict[str, str]:
    """Make the entry of one image in the datalist."""
    files = {key: path_in_data_set(key, image_id, apart=apart) for key in FOLDER_OF_KEY}
    return files | {"id": image_id, "group": group.name} | ({"kind": group.kind} if group.kind else {})


def _count(items: Sequence[Mapping[str, str]], notes: Mapping[str, Note]) -> dict[str, int]:
    return {"images": len(items), "objects": sum(notes[item["id"]]["objects"] for item in items)}


def _refuse_other_facts(facts: DataSetFacts, finished: Mapping[str, Any], target: Path) -> None:
    """Refuse to say that all is done where another name, licence or origin was asked for than the data set has."""
    for key, wanted in (("name", facts.name), ("licence", facts.licence), ("origin", facts.origin)):
        if finished.get(key) != wanted:
            raise DataError(
                f"{target} is complete, with the {key} '{finished.get(key)}' and not '{wanted}': delete that folder, or"
                f" give the same --{key}"
            )


def _total(notes: Mapping[str, Note], **keys: str) -> dict[str, int]:
    entries: list[Mapping[str, Any]] = [*notes.values()]
    return {name: sum(note[key] for note in entries) for name, key in keys.items()}


def _classes(notes: Iterable[Note]) -> list[dict[str, Any]]:
    """Say how many objects of each class that the files name were taken for which class; for none, if left out."""
    counts = Counter[tuple[str, str]]()
    for note in notes:
        counts.update({(label, taken_for): number for label, taken_for, number in note["classes"]})
    return [
        {"class": label, "taken_for": taken_for or None, "objects": number}
        for (label, taken_for), number in sorted(counts.items())
    ]


def _told_of_images(images: Sequence[RawImage], notes: Mapping[str, Note]) -> dict[str, list[str]]:
    """Name images without objects, and those that are another one again."""
    told: dict[str, list[str]] = {
        EMPTY: [image.file for image in images if not notes[image.id]["objects"]],
        SAME_IMAGE: [],
    }
    first: dict[str, str] = {}
    for image in images:
        other = first.setdefault(notes[image.id]["digest"], image.file)
        if other is not image.file:
            told[SAME_IMAGE].append(f"{image.file} = {other}")
    return {reason: names for reason, names in told.items() if names}


def _skipped(part: RawPart) -> Mapping[str, list[str]]:
    """Give what a source has left out: files, and links to folders that it has entered already."""
    links = list(part.source.passed_over)
    return part.skipped | ({"link to a folder that is read under another name": links} if links else {})


def _merge(skipped: Iterable[Mapping[str, list[str]]]) -> dict[str, list[str]]:
    """Put the names that were skipped for the same reason together, all sorted."""
    names: dict[str, list[str]] = {}
    for reason, more in (entry for reasons in skipped for entry in reasons.items()):
        names[reason] = sorted(names.get(reason, []) + more)
    return dict(sorted(names.items()))


def _source_entry(part: RawPart) -> dict[str, str]:
    files = {name for image in part.images for name in (*(image.parts or (image.file,)), *image.annotation.files)}
    return {"name": part.source.path.absolute().name, "sha256": part.source.sha256(files)}


def _dataset_file(path: Path) -> Path:
    return path / DATASET_FILE if path.is_dir() else path


def _file_entry(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": file_sha256(path)}
