"""Write a data set folder from raw images, whatever set they belong to."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypedDict

from tqdm import tqdm

from medseg_ext.data.datalist import DATASET_FILE, FOLDER_OF_KEY, SECTIONS, read_dataset_json
from medseg_ext.data.errors import DataError
from medseg_ext.data.groups import Group, groups_of
from medseg_ext.data.label_maps import merge_objects
from medseg_ext.data.parallel import parallel_map
from medseg_ext.data.pixels import encode_png, read_rgb
from medseg_ext.data.raw import RawImage, RawPart, check_ids
from medseg_ext.data.sources import Source, file_sha256, open_source
from medseg_ext.data.splits import split_by_group
from medseg_ext.data.workspace import Note, Workspace, path_in_data_set

FORMAT = 1  # raise it when the same source gives other files than before
ERRORS_SHOWN = 10


@dataclass(frozen=True)
class DataSetKind:
    """What is the same for every copy of a data set.

    Attributes:
        name: how people call it.
        class_names: names of the classes in the order of their indices.
        object_name: what one label of the label map is.
        licence: SPDX identifier.
        origin: address of its publisher.
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
    kind: DataSetKind,
    parts: Sequence[RawPart],
    target: Path | str,
    *,
    tables: Iterable[Path] = (),
    groups: Path | None = None,
    seed: int = 0,
    fractions: Sequence[float] = (0.8, 0.1, 0.1),
    splits_from: Path | None = None,
    workers: int | None = None,
) -> dict[str, Any]:
    """Write the data set folder of raw images; the same input gives the same bytes.

    Args:
        kind: the data set.
        parts: its sources with their images.
        target: folder to write; it may hold an unfinished run of the same command, which then goes on.
        tables: further files that were read, whose hashes are to be noted.
        groups: CSV file that names the group of each image, see `read_groups`.
        seed: another number is another split.
        fractions: shares of training, validation and testing, among the images that are not bound to a section.
        splits_from: a data set folder or its dataset.json, whose split is to be taken over by image id.
        workers: number of processes; all cores if None.
    Returns: the content of dataset.json.
    Raises: DataError: anything unusable; nothing of this command is left in `target` then.
    """
    target = Path(target)
    for part in parts:
        if part.source.path.is_dir() and target.resolve().is_relative_to(part.source.path.resolve()):
            raise DataError(f"{target} lies inside the source {part.source.path}: give a folder outside of it")
    images = [image for part in parts for image in part.images]
    if not images:
        raise DataError(f"{parts[0].source.path} holds no image with masks: check that it is complete")
    check_ids(parts)
    group_of, ungrouped = groups_of([image.id for image in images], groups)
    section_of = _choose_sections(images, group_of, fractions=fractions, seed=seed, splits_from=splits_from)
    recipe = {
        "format": FORMAT,
        "sources": [{"name": part.source.path.name, "sha256": part.source.sha256(_files_of(part))} for part in parts]
        + [_file_entry(table) for table in tables],
        "groups": groups and _file_entry(groups),
        "splits_from": splits_from and _file_entry(_dataset_file(splits_from)),
        "seed": seed,
        "fractions": list(fractions),
    }
    workspace = Workspace(target, recipe)
    if dataset := workspace.finished():
        return dataset
    workspace.open()
    try:
        notes = _write_images(parts, workspace, workers)
    except DataError:
        workspace.discard()
        raise

    sections: dict[str, list[dict[str, str]]] = {section: [] for section in SECTIONS}
    for image in sorted(images, key=lambda image: image.id):
        item = {key: path_in_data_set(key, image.id) for key in FOLDER_OF_KEY}
        item |= {"id": image.id, "group": group_of[image.id].name}
        if group_of[image.id].cluster:
            item["cluster"] = group_of[image.id].cluster
        sections[section_of[image.id]].append(item)
    skipped: dict[str, list[str]] = {}
    for reasons in (*(part.skipped for part in parts), *(notes[image.id]["skipped"] for image in images)):
        for reason, names in reasons.items():
            skipped.setdefault(reason, []).extend(names)
    dataset = {
        "name": kind.name,
        "class_names": list(kind.class_names),
        "object": kind.object_name,
        "licence": kind.licence,
        "origin": kind.origin,
        "preparation": recipe,
        "counts": {
            section: {"images": len(items), "objects": sum(notes[item["id"]]["objects"] for item in items)}
            for section, items in sections.items()
        },
        "skipped": {reason: sorted(names) for reason, names in sorted(skipped.items())},
        "overlap_px": sum(note["overlap_px"] for note in notes.values()),
        "without_group": sorted(ungrouped),
        **sections,
    }
    workspace.finish(dataset)
    return dataset


def summary(dataset: Mapping[str, Any]) -> str:
    """Lay out the table that a preparation ends with.

    Args:
        dataset: the content of dataset.json.
    """
    lines = [f"{dataset['name']:<12}{'images':>8}{'objects':>10}"]
    counts = dict(dataset["counts"])
    total = {key: sum(count[key] for count in counts.values()) for key in ("images", "objects")}
    for section, count in (counts | {"total": total}).items():
        lines.append(f"{section:<12}{count['images']:>8}{count['objects']:>10}")
    lines.append("skipped:" + ("" if dataset["skipped"] else " nothing"))
    lines += [f"{len(names):>6}  {reason}, e.g. {names[0]}" for reason, names in dataset["skipped"].items()]
    lines.append(f"pixels claimed by more than one {dataset['object']}: {dataset['overlap_px']}")
    if without := dataset["without_group"]:
        lines.append(f"images not in the groups file, each a group by itself: {len(without)}, e.g. {without[0]}")
    return "\n".join(lines)


def _choose_sections(
    images: Sequence[RawImage],
    group_of: Mapping[str, Group],
    *,
    fractions: Sequence[float],
    seed: int,
    splits_from: Path | None,
) -> dict[str, str]:
    if len(fractions) != len(SECTIONS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"fractions must be {len(SECTIONS)} shares that sum to 1, got {list(fractions)}")
    bound = {image.id: image.section for image in images if image.section}
    free = {image.id: group_of[image.id] for image in images if not image.section}
    if torn := {group_of[image_id].name for image_id in bound} & {group.name for group in free.values()}:
        raise DataError(f"group '{min(torn)}' has images in the official test set and outside of it: mend the groups")
    if splits_from:
        known = _read_split(splits_from)
        if missing := sorted(free.keys() - known.keys()):
            raise DataError(f"{splits_from} does not name the image '{missing[0]}': give the split of this data set")
        chosen = {image_id: known[image_id] for image_id in free}
    elif free:
        share = dict(zip(SECTIONS, fractions, strict=True))
        if bound:  # the official test set is there already
            share["testing"] = 0.0
        if not sum(share.values()):
            raise DataError(f"fractions {list(fractions)} leave no share for training and validation: give them one")
        whole = sum(share.values())
        chosen = split_by_group(free, fractions={key: value / whole for key, value in share.items()}, seed=seed)
    else:
        chosen = {}
    return chosen | bound


def _read_split(path: Path) -> dict[str, str]:
    dataset = read_dataset_json(_dataset_file(path).parent)
    return {item["id"]: section for section in SECTIONS for item in dataset.get(section, [])}


def _dataset_file(path: Path) -> Path:
    return path / DATASET_FILE if path.is_dir() else path


def _file_entry(path: Path) -> dict[str, str]:
    return {"name": path.name, "sha256": file_sha256(path)}


def _files_of(part: RawPart) -> list[str]:
    return [name for image in part.images for name in (image.file, *image.annotation.files)]


def _write_images(parts: Sequence[RawPart], workspace: Workspace, workers: int | None) -> dict[str, Note]:
    """Write the files of all images that are not done yet.

    Returns: the note of each image.
    Raises: DataError: naming all unusable files, or the first few of them.
    """
    notes: dict[str, Note] = {}
    todo: list[tuple[int, RawImage]] = []
    for number, part in enumerate(parts):
        for image in part.images:
            if done := workspace.done(image.id):
                notes[image.id] = done
            else:
                todo.append((number, image))
    if notes:
        print(f"going on with an interrupted run: {len(notes)} images are done already", file=sys.stderr)
    errors: list[str] = []
    make_writer = partial(_make_writer, [part.source.path for part in parts], workspace)
    with (
        closing(parallel_map(make_writer, todo, workers=workers)) as results,
        tqdm(total=len(notes) + len(todo), initial=len(notes), unit=" images") as bar,
    ):
        for image_id, note_or_error in results:
            bar.update()
            if isinstance(note_or_error, DataError):
                errors.append(str(note_or_error))
            else:
                notes[image_id] = note_or_error
    if errors:
        more = [f"... and {len(errors) - ERRORS_SHOWN} more"] if len(errors) > ERRORS_SHOWN else []
        raise DataError("\n".join(sorted(errors)[:ERRORS_SHOWN] + more))
    return notes


def _make_writer(
    source_paths: Sequence[Path], workspace: Workspace
) -> Callable[[tuple[int, RawImage]], tuple[str, Note | DataError]]:
    """Open the sources for one process. Returns: a function that writes the image of the source with that number."""
    sources = [open_source(path) for path in source_paths]

    def write(task: tuple[int, RawImage]) -> tuple[str, Note | DataError]:
        number, image = task
        try:
            return image.id, _write_image(sources[number], image, workspace)
        except DataError as error:  # given back, so that all unusable files are found in one run
            return image.id, error

    return write


def _write_image(source: Source, image: RawImage, workspace: Workspace) -> Note:
    pixels = read_rgb(source.read(image.file), source.where(image.file))
    height, width = pixels.shape[:2]
    try:
        maps = merge_objects(image.annotation.class_maps(source, (height, width)), height, width)
    except OverflowError as error:
        raise DataError(f"{source.where(image.file)} has {error}: cut it into smaller images") from error
    hidden = [image.annotation.names[position] for position in maps.hidden]
    note: Note = {
        "objects": len(image.annotation.names) - len(hidden),
        "overlap_px": maps.overlap_px,
        "skipped": {"mask without a pixel of its own (empty, or covered by others)": hidden} if hidden else {},
    }
    files = {
        "image": encode_png(pixels),
        "instances": encode_png(maps.instances),
        "classes": encode_png(maps.classes),
    }
    workspace.add(image.id, files, note)
    return note
