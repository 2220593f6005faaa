"""Keep a folder of results at an address, where the files of each image go as soon as they are made."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from medseg_ext.addresses import inside, is_http
from medseg_ext.errors import DataError
from medseg_ext.files import NOT_IN_IDS, check_inner_path
from medseg_ext.images.result_names import DONE_FILE, ENDINGS, LABEL_MAP_ENDINGS, SUMMARY_FILE
from medseg_ext.object_stores import NotThereError, download, list_folder, read_start, remove, sizes_below, upload
from medseg_ext.objects.coco import BEGINNING, COCO_FILE
from medseg_ext.objects.done_images import Item, with_announced
from medseg_ext.objects.earlier_results import PROVENANCE_FILE
from medseg_ext.objects.formats import COCO_PART_ENDING, LABEL_MAP

KEPT_WITH_CONTENT = (ENDINGS["csv"], COCO_PART_ENDING)  # of an image, as the gallery and COCO's file are made of them
READ_AT_ONCE = (DONE_FILE, SUMMARY_FILE, PROVENANCE_FILE)
NOTES_EVERY_S = 30.0  # written as a whole each time
HOLLOW_TIME = 631_152_000  # 1990, which tells a file without its content from one that was written since, everywhere

logger = logging.getLogger(__name__)


class RemoteResults:
    """A folder of results at an address, and the local folder where they are made.

    The local one has the files of both: of those that are at the address the name and the size, but the content only
    where it is needed. So whatever looks there for results of earlier runs finds them.

    Args:
        address: what stands for that of the folder, see `medseg_ext.addresses.place`.
        folder: the local one.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.folder = folder
        self._there: set[str] = set()
        self._announced: Sequence[Item] = ()
        self._noted = monotonic()

    def mirror(self) -> None:
        """Show in the local folder what is at the address.

        Raises:
            DataError: it cannot be read.
        """
        try:
            entries = list_folder(self.address)
        except NotThereError:
            return
        for entry in entries:
            path = self.folder / entry.name
            if NOT_IN_IDS.search(entry.name) or entry.name in (".", ".."):
                continue
            if entry.name in READ_AT_ONCE:
                download(entry.address, path)
            elif not entry.is_folder:
                start = read_start(entry.address, len(BEGINNING)) if entry.name == COCO_FILE else b""
                _make_hollow(path, entry.size or 0, start)
            elif entry.name.endswith(LABEL_MAP_ENDINGS["ome-zarr"]):
                for name, size in sizes_below(entry.address).items():
                    check_inner_path(name, f"a file of {entry.address}")
                    _make_hollow(path / name, size)
            else:
                continue
            self._there.add(entry.name)

    def put(self, paths: Iterable[Path]) -> None:
        """Write files and folders of the local folder to the address, those that there are with their content.

        What is without, see the class, was not written since, and stays there as it is.

        Raises:
            DataError: one cannot be written; names it and the remedy.
        """
        files = {path: [file for file in _files_of(path) if not _is_hollow(file)] for path in paths if path.exists()}
        anew = [path.name for path, inside in files.items() if path.is_dir() and inside == _files_of(path)]
        remove(self.address, [name for name in anew if name in self._there])
        self._there.update(path.name for path in files)
        upload(self.address, {self._inner(file): file for inside in files.values() for file in inside})

    def add(self, paths: Iterable[Path]) -> None:
        """Write the files of an image to the address, and let go of their content here. Raises: see `put`."""
        paths = list(paths)
        self.put(paths)
        self.let_go(paths)

    def let_go(self, paths: Iterable[Path]) -> None:
        """Free the room that files take here which are at the address."""
        for path in paths:
            if not path.name.endswith(KEPT_WITH_CONTENT):
                for file in _files_of(path):
                    _make_hollow(file, file.stat().st_size)

    def fetch(self, paths: Iterable[Path]) -> None:
        """Have the content here of files and folders that are at the address. Raises: DataError: one cannot be read."""
        for path in paths:
            for file in _files_of(path):
                download(inside(self.address, self._inner(file)), file)

    def fetch_tables(self, images: Iterable[Mapping[str, Path]]) -> None:
        """Have here what the files over all images are made of. Raises: DataError: one cannot be read."""
        for paths in images:
            self.fetch(path for path in paths.values() if path.name.endswith(KEPT_WITH_CONTENT))

    @contextmanager
    def at_hand(self, paths: Mapping[str, Path]) -> Iterator[None]:
        """Have the overlay of an image here for a while, or what it is drawn of. Raises: see `fetch`."""
        wanted = [paths["overlay"]] if "overlay" in paths else [paths[LABEL_MAP], *filter(None, [paths.get("classes")])]
        self.fetch(wanted)
        try:
            yield
        finally:
            self.let_go(wanted)

    def drop(self, paths: Iterable[Path]) -> None:
        """Remove files from the address, if they are there. Raises: DataError: one cannot be removed."""
        names = {path.name for path in paths}  # whichever process has put them there
        self._there -= names
        remove(self.address, sorted(names))

    def prune(self) -> None:
        """Remove from the address what was removed from the local folder. Raises: see `drop`."""
        self.drop([path for path in map(self.folder.joinpath, self._there) if not path.exists()])

    def announce(self, items: Iterable[Item]) -> None:
        """Write to the address which images are to be done, so that it tells whose results are there after any end.

        Raises: see `put`.
        """
        self._announced = tuple(items)
        self._put_notes()

    def keep_notes(self) -> None:
        """Write the notes of images that are done to the address, every `NOTES_EVERY_S` seconds."""
        if monotonic() - self._noted < NOTES_EVERY_S:
            return
        self._noted = monotonic()
        try:
            self._put_notes()
        except DataError as error:  # at the end it is one
            logger.warning("%s; tried again in %.0f s", error, NOTES_EVERY_S)

    def finish(self) -> None:
        """Write to the address what is of all images. Raises: see `put`."""
        self.put(self.folder / name for name in (DONE_FILE, SUMMARY_FILE, COCO_FILE, PROVENANCE_FILE))

    def _put_notes(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, DONE_FILE)
            notes = (self.folder / DONE_FILE).read_text(encoding="utf-8")
            file.write_text(with_announced(notes, self._announced), encoding="utf-8", newline="\n")
            upload(self.address, {DONE_FILE: file})
        self._there.add(DONE_FILE)

    def _inner(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


@contextmanager
def results_at(address: str) -> Iterator[RemoteResults]:
    """Open a folder of results at an address, with a local folder that is removed at the end.

    Raises:
        DataError: it cannot be read, or nothing is ever written there.
    """
    if is_http(address):
        raise DataError(f"{address} is of HTTP, by which nothing is written here: give the address of an object store")
    with tempfile.TemporaryDirectory(prefix="medseg-results-", ignore_cleanup_errors=True) as folder:
        results = RemoteResults(address, Path(folder))
        try:
            results.mirror()
            yield results
        except DataError as error:  # whoever looks into the local folder names that
            raise DataError(str(error).replace(folder, address)) from error


def _files_of(path: Path) -> list[Path]:
    """Give a file itself, or those in a folder and the folders in it."""
    return [path] if path.is_file() else [file for file in sorted(path.rglob("*")) if file.is_file()]


def _make_hollow(path: Path, size: int, start: bytes = b"") -> None:
    """Give a file a size, but no content beyond its start, which takes no room on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(start[:size])
        file.truncate(size)
    os.utime(path, (HOLLOW_TIME, HOLLOW_TIME))


def _is_hollow(path: Path) -> bool:
    return int(path.stat().st_mtime) == HOLLOW_TIME
