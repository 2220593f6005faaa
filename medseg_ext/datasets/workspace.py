"""Fill a data set folder image by image, so that an interrupted run can go on and is never taken for complete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from medseg_ext.datasets.data_set_folder import CHANNEL, DATASET_FILE, FOLDER_OF_KEY, SECTIONS, read_dataset_json
from medseg_ext.errors import DataError
from medseg_ext.files import folder_to_disk, write_atomically
from medseg_ext.folder_lock import LOCK_FILE


class Note(TypedDict):
    """What is remembered about an image that is done.

    Keys: number of its objects; how many pixels more than one object claimed; names of skipped masks by reason; names
    of objects to look at by reason; objects and area (px) that are labelled, and the area that was taken; how many
    objects of each class were taken for which; a digest of the image.
    """

    objects: int
    overlap_px: int
    skipped: dict[str, list[str]]
    told: dict[str, list[str]]
    labelled_objects: int
    labelled_px: int
    taken_px: int
    classes: list[tuple[str, str, int]]
    digest: str


class Workspace:
    """A target folder and, while it is being filled, the notes in its folder `.partial`.

    Args:
        target: the data set folder, of which who fills it has the `FolderLock`.
        recipe: all that decides what is written; output of another recipe is never mixed in.
    """

    def __init__(self, target: Path, recipe: Mapping[str, Any]) -> None:
        self.target = target
        self.recipe = json.loads(json.dumps(recipe))  # as it will be read back
        self._notes = target / ".partial"
        channel = self.recipe.get(CHANNEL)
        self.apart: list[int | str] | None = channel if isinstance(channel, list) else None  # several channels

    def finished(self) -> dict[str, Any] | None:
        """Give the content of dataset.json if this very data set is complete already.

        Raises: DataError: the folder holds something else.
        """
        if self.target.exists() and not self.target.is_dir():
            raise DataError(f"{self.target} is a file: give a folder to write to")
        if (self.target / DATASET_FILE).exists():
            dataset = read_dataset_json(self.target)
            self._check_recipe(dataset.get("preparation"), "holds a data set that was prepared")
            items = [item for section in SECTIONS for item in dataset.get(section, [])]
            if all((self.target / item[key]).is_file() for item in items for key in FOLDER_OF_KEY):
                shutil.rmtree(self._notes, ignore_errors=True)
                return dataset
        return None

    def open(self) -> None:
        """Make the folder ready to be filled, or filled further.

        Raises: DataError: it holds other files, or those of an unfinished run with another recipe.
        """
        notes = self._notes / "recipe.json"
        if notes.exists():
            self._check_recipe(json.loads(notes.read_bytes()), "holds an unfinished data set that was being prepared")
        elif not (self.target / DATASET_FILE).exists() and self._has_other_content():
            raise DataError(f"{self.target} is not empty, and not a data set: give a new or an empty folder")
        (self._notes / "done").mkdir(parents=True, exist_ok=True)
        self._write(notes, _as_json(self.recipe))
        for folder in FOLDER_OF_KEY.values():
            (self.target / folder).mkdir(exist_ok=True)
        (self.target / DATASET_FILE).unlink(missing_ok=True)

    def done(self, image_id: str) -> Note | None:
        """Give what `add` noted about an image, or None if it is still to do."""
        note = self._notes / "done" / f"{image_id}.json"
        files = [self.target / path_in_data_set(key, image_id, apart=self.apart is not None) for key in FOLDER_OF_KEY]
        try:
            content: Any = json.loads(note.read_bytes()) if all(file.exists() for file in (note, *files)) else {}
        except ValueError:
            return None
        if not isinstance(content, dict) or not content.keys() >= Note.__annotations__.keys():
            return None  # an earlier version noted less
        # After a loss of power, files may be shorter than they were written.
        is_whole = content.pop("bytes", None) == [file.stat().st_size for file in files]
        return cast(Note, content) if is_whole else None

    def add(self, image_id: str, files: Mapping[str, bytes], note: Note) -> None:
        """Write the files of one image, and then that it is done.

        Args:
            image_id: name of the image.
            files: content for each of the keys image, instances and classes.
            note: what to remember about the image.
        """
        for key, data in files.items():
            path = self.target / path_in_data_set(key, image_id, apart=self.apart is not None)
            write_atomically(path, data, temporary_in=self._notes, at_once=False)
        sizes = {"bytes": [len(files[key]) for key in FOLDER_OF_KEY]}
        path = self._notes / "done" / f"{image_id}.json"
        write_atomically(path, _as_json({**note, **sizes}), temporary_in=self._notes, at_once=False)

    def finish(self, dataset: Mapping[str, Any]) -> None:
        """Declare the data set complete."""
        for folder in FOLDER_OF_KEY.values():
            folder_to_disk(self.target / folder)
        self._write(self.target / DATASET_FILE, _as_json(dataset))
        shutil.rmtree(self._notes, ignore_errors=True)  # another process may see that all is done, and do it, too

    def discard(self) -> None:
        """Remove everything written so far; `open` made sure that nothing else is there."""
        for folder in (*FOLDER_OF_KEY.values(), self._notes.name):
            shutil.rmtree(self.target / folder, ignore_errors=True)

    def _has_other_content(self) -> bool:
        own = (self._notes, self.target / LOCK_FILE)
        return self.target.is_dir() and any(entry not in own for entry in self.target.iterdir())

    def _write(self, path: Path, data: bytes) -> None:
        write_atomically(path, data, temporary_in=self._notes)  # a folder that goes

    def _check_recipe(self, other: Mapping[str, Any] | None, what: str) -> None:
        if other != self.recipe:
            other = other or {}
            different = sorted(key for key in self.recipe | other if self.recipe.get(key) != other.get(key))
            raise DataError(
                f"{self.target} {what} from another source or with other options (different: {', '.join(different)}): "
                "delete that folder, or give another"
            )


def path_in_data_set(key: str, image_id: str, *, apart: bool = False) -> str:
    """Name a file relative to the data set folder.

    Args:
        key: image, instances or classes.
        image_id: name of the image.
        apart: whether images are several channels, which no PNG holds.

    >>> path_in_data_set("image", "a1")
    'images/a1.png'
    """
    return f"{FOLDER_OF_KEY[key]}/{image_id}.{'tif' if apart and key == 'image' else 'png'}"


def _as_json(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, indent=4, ensure_ascii=False) + "\n"
    return text.encode(errors="backslashreplace")  # bytes of names that are no text, as JSON has them
