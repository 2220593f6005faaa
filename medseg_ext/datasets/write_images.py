"""Write the files of raw images on all cores."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from medseg_ext.datasets.annotations import Remarks
from medseg_ext.datasets.label_maps import ObjectMask, merge_objects
from medseg_ext.datasets.parallel import parallel_map
from medseg_ext.datasets.raw_images import RawImage, RawPart
from medseg_ext.datasets.sources import Source, open_source
from medseg_ext.datasets.workspace import Note, Workspace
from medseg_ext.errors import DataError
from medseg_ext.images.channels_tiff import encode_channels_tiff
from medseg_ext.images.png import encode_png

ERRORS_SHOWN = 5


def write_images(parts: Sequence[RawPart], workspace: Workspace, *, workers: int | None = None) -> dict[str, Note]:
    """Write the three files of each image that is not done yet.

    Args:
        parts: the raw images.
        workspace: where to write.
        workers: number of processes; all cores if None.
    Returns: the note of each image.
    Raises: DataError: naming the unusable files, of many the first few, and how many more there are.
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
        raise DataError(_listed(errors))
    return notes


def _listed(errors: Sequence[str]) -> str:
    """Give one message of all, the lines of a list indented."""
    if len(errors) == 1:
        return errors[0]
    more = [f"and {len(errors) - ERRORS_SHOWN} more"] if len(errors) > ERRORS_SHOWN else []
    shown = [" ".join(error.split("\n")) for error in sorted(errors)[:ERRORS_SHOWN]]
    return "\n  ".join([f"{len(errors)} images cannot be taken as they are, and nothing was written:", *shown, *more])


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
    pixels, left_out = image.read(source, image.file)
    height, width = pixels.shape[:2]
    remarks = Remarks()
    names: list[str] = []
    labelled_px = 0

    def counted() -> Iterator[ObjectMask]:
        nonlocal labelled_px
        for mask in image.annotation.masks(source, (height, width), remarks):
            names.append(mask.name)
            labelled_px += int(np.count_nonzero(mask.class_map))
            yield mask

    try:
        maps = merge_objects(counted(), height, width)
    except OverflowError as error:
        raise DataError(f"{source.where(image.file)} has {error}: cut it into smaller images") from error
    skipped = dict(remarks.skipped)
    if hidden := [names[position] for position in maps.hidden]:
        skipped["mask without a pixel of its own (empty, or covered by others)"] = hidden
    left_out_objects = sum(map(len, remarks.skipped.values()))
    skipped |= {f"the rest of an image: {text}": [image.file] for text in left_out}
    note: Note = {
        "objects": len(names) - len(hidden),
        "overlap_px": maps.overlap_px,
        "skipped": skipped,
        "told": dict(remarks.told),
        "labelled_objects": len(names) + left_out_objects,
        "labelled_px": labelled_px,
        "taken_px": int(np.count_nonzero(maps.instances)),
        "classes": [(label, taken_for, number) for (label, taken_for), number in sorted(remarks.classes.items())],
        "digest": hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
    }
    files = {
        "image": encode_png(pixels) if workspace.apart is None else encode_channels_tiff(pixels, workspace.apart),
        "instances": encode_png(maps.instances),
        "classes": encode_png(maps.classes),
    }
    workspace.add(image.id, files, note)
    return note
