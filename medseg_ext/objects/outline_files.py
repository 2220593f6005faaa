"""Write the outlines of an image's objects in several formats at once, object by object."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Protocol, cast

from medseg_ext.objects.coco import CocoPart
from medseg_ext.objects.geojson import GeojsonFile
from medseg_ext.objects.outlined import OutlinedObject


class OutlineFile(Protocol):
    """Takes the objects of an image."""

    def add(self, found: OutlinedObject) -> None:
        """Write an object."""

    def close(self) -> None:
        """Write what comes after the last one."""


OUTLINE_FORMATS = ("geojson", "geojson.gz", "roi", "coco")
GZIP_LEVEL = 6  # 9 takes twice the time for a hundredth of the bytes


@contextmanager
def outline_files(
    paths: Mapping[str, Path], *, image_id: str, source: Path | str, size: tuple[int, int]
) -> Iterator[list[OutlineFile]]:
    """Open the files of outlines among those that an image gets.

    Args:
        paths: of files by their formats; those of other formats are left alone.
        image_id: of the image.
        source: path of its file.
        size: (H, W).
    """
    with ExitStack() as stack:
        opened = {name: _open(name, paths[name], stack) for name in OUTLINE_FORMATS if name in paths}
        writers = [_writer(name, file, image_id, source, size) for name, file in opened.items()]
        yield writers
        for writer in writers:
            writer.close()


def _open(name: str, path: Path, stack: ExitStack) -> IO[bytes]:
    file = stack.enter_context(path.open("wb"))
    if not name.endswith(".gz"):
        return file
    packed = gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0)  # without name and time: the same bytes every time
    return cast("IO[bytes]", stack.enter_context(packed))


def _writer(name: str, file: IO[bytes], image_id: str, source: Path | str, size: tuple[int, int]) -> OutlineFile:
    if name in ("geojson", "geojson.gz"):
        return GeojsonFile(file, image_id=image_id)
    if name == "coco":
        return CocoPart(file, source=source, size=size)
    from medseg_ext.objects.imagej_rois import RoiArchive  # where it is needed: most want none

    return RoiArchive(file)
