"""Remember which images of a folder of results are done, so that a later run can go on."""

from __future__ import annotations

import filecmp
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from medseg_ext.addresses import address_of
from medseg_ext.errors import DataError
from medseg_ext.files import as_text, write_atomically
from medseg_ext.images.ome_zarr import LABELS_FOLDER, describe_zarr, is_ome_zarr
from medseg_ext.images.result_names import DONE_FILE, parsed_note
from medseg_ext.object_stores import describe
from medseg_ext.objects.formats import ResultFormats

logger = logging.getLogger(__name__)

Item = Mapping[str, str]
"""An image: its path under "image", and a unique "id"."""
Row = dict[str, Any]
"""What `summary.csv` says of an image, by column."""
Note = dict[str, Any]
"""An image that is done: its row of the summary, place, size and time of its file, and sizes of those of its results.

Size and time are None where nothing tells. What is a folder has the size of all files in
it, and the time of the latest.
"""


def note_image(item: Item, row: Row, *, output_dir: Path, formats: ResultFormats) -> Note:
    """Describe an image whose results are written.

    Where nothing tells of its own file, such as one that is gone by now, its results are kept, but no run goes on with
    them.

    Raises:
        OSError: one of its results is not there.
    """
    try:
        known = _known_of(item["image"])
    except (OSError, DataError) as error:
        logger.warning("%s: its results are kept, but --resume does it anew: %s", as_text(item["image"]), error)
        known = None
    return {
        "row": row,
        "place": _place_of(item["image"]),
        "input": known,
        "files": _sizes_of_results(item, output_dir, formats),
    }


class DoneImages:
    """Keep notes of the images that are done in a file of the folder, a line an image.

    A line is written when the files of its image are, which are replaced as wholes: what a killed run leaves is either
    noted and whole, or not noted. One process writes the file, whichever wrote the images.

    Args:
        output_dir: the folder of the results.
        settings: all that decides what the results are, in JSON's types: those of others are not gone on with. None
            where it is not known: no run goes on with them.
        formats: which files an image gets.

    Attributes:
        when_noted: is called after each note; None for nothing.
    """

    def __init__(self, output_dir: Path, settings: Mapping[str, Any] | None, *, formats: ResultFormats) -> None:
        self.output_dir = output_dir
        self.settings = json.loads(json.dumps(settings))
        self.formats = formats
        self._kept: list[Note] = []
        self._file: IO[str] | None = None
        self.when_noted: Callable[[], object] | None = None

    def resume(self, items: Iterable[Item]) -> dict[str, Row]:
        """Find the images that need not be done again.

        They are those that are noted, if neither their own files nor those of their results have changed since.

        Returns:
            Their rows of the summary, by id.

        Raises:
            DataError: the results are of other settings; names them.
        """
        notes = self._read()
        for item in items:
            note = notes.get(item["id"])
            if note and self._holds(note, item):
                self._kept.append(note)
        return {note["row"]["id"]: note["row"] for note in self._kept}

    def start(self) -> None:
        """Begin the file, with the notes of the images that are not done again."""
        if self._file is None:
            path = self.output_dir / DONE_FILE
            write_atomically(path, "".join(map(_line, [{"settings": self.settings}, *self._kept])).encode())
            self._file = path.open("a", encoding="utf-8")

    def add(self, note: Note) -> None:
        """Note an image that is done; see `note_image`."""
        if self._file is None:
            raise RuntimeError("start() comes first")
        self._file.write(_line(note))
        self._file.flush()  # so that a killed process leaves it to the system
        if self.when_noted is not None:
            self.when_noted()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read(self) -> dict[str, Note]:
        try:
            lines = (self.output_dir / DONE_FILE).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        whole = [each for each in map(parsed_note, lines) if each is not None]
        if not whole or whole[0].get("settings") is None:
            return {}
        self._refuse_other_settings(whole[0]["settings"])
        return {note["row"]["id"]: note for note in whole[1:]}

    def _refuse_other_settings(self, before: Mapping[str, Any]) -> None:
        if differences := differing_settings(before, self.settings):
            raise DataError(
                f"{self.output_dir} holds results of other settings ({'; '.join(differences)}): give the same ones, "
                "another --output, or leave out --resume, and all images are done anew"
            )

    def _holds(self, note: Note, item: Item) -> bool:
        try:
            now = {"input": _known_of(item["image"]), "files": _sizes_of_results(item, self.output_dir, self.formats)}
        except (OSError, DataError):
            return False
        return all(now[key] == note.get(key) for key in now)


def differing_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Say which settings differ, and how.

    >>> differing_settings({"tta": False, "seed": 0}, {"tta": True, "seed": 0})
    ['tta was false, is true']
    """
    keys = [key for key in {**before, **now} if key not in before or key not in now or before[key] != now[key]]
    return [f"{key} was {_shown(before, key)}, is {_shown(now, key)}" for key in keys]


def with_announced(notes: str, items: Iterable[Item]) -> str:
    """Add to the content of a file of notes the images that are to be done, behind its settings.

    By these, a later run is told of images of other places, but does not take them for done.
    """
    settings, _, rest = notes.partition("\n")
    announced = ({"row": {"id": item["id"]}, "place": _place_of(item["image"])} for item in items)
    return f"{settings}\n{''.join(map(_line, announced))}{rest}"


def is_of_same_image(note: Note, item: Item) -> bool:
    """Say whether a note is of an image, which may have been edited since, or moved, or is a copy.

    One that is still where it was is told from others by its content, one that was moved by its name, size and time.
    """
    before, now = note.get("place"), _place_of(item["image"])
    if before == now:
        return True
    try:
        if before is not None and _is_still_there(note, before) and Path(before).is_file():
            return filecmp.cmp(before, now, shallow=False)
        return note.get("input") == _known_of(item["image"])
    except (OSError, DataError):
        return False


def _is_still_there(note: Note, place: str) -> bool:
    try:
        return note.get("input") == _known_of(place)
    except (OSError, DataError):
        return False


def _place_of(image: str) -> str:
    """Give where an image is, the same by whatever links lead there, or what stands for its address."""
    return image if address_of(image) is not None else os.path.realpath(image)


def _known_of(image: str) -> list[Any]:
    """Give the name of an image, or its address, and what changes with it. Raises: DataError: nothing does."""
    if address_of(image) is None:
        return [Path(image).name, *_size_and_time(Path(image))]
    size, stamp = describe_zarr(image) if is_ome_zarr(image) else describe(image)
    if not stamp:
        raise DataError(f"{image} has neither a time nor a checksum there, so that nothing tells if it was changed")
    return [image, size, stamp]


def _sizes_of_results(item: Item, output_dir: Path, formats: ResultFormats) -> list[int]:
    return [_size_and_time(path)[0] for path in formats.paths(output_dir, item["id"]).values()]


def _size_and_time(path: Path) -> tuple[int, int]:
    """Give bytes and time, in ns, of a file, or of those in a folder, but for the labels that an image may get."""
    if not path.is_dir():
        known = path.stat()
        return known.st_size, known.st_mtime_ns
    inside = (file for part in path.iterdir() if part.name != LABELS_FOLDER for file in (part, *part.rglob("*")))
    stats = [file.stat() for file in inside if not file.is_dir()]
    return sum(each.st_size for each in stats), max((each.st_mtime_ns for each in stats), default=0)


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], ensure_ascii=False) if key in settings else "not there"


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps(content, separators=(",", ":")) + "\n"
