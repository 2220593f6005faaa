"""Read images with their labels from OME-Zarr (NGFF)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from medseg_ext.datasets.annotations import Remarks, other_size
from medseg_ext.datasets.label_map_files import objects_of_labels, refuse_scattered
from medseg_ext.datasets.label_maps import ObjectMask
from medseg_ext.datasets.pairing import WITHOUT_LABELS, Pair, section_of
from medseg_ext.datasets.roles import role_of
from medseg_ext.datasets.sources import FolderSource, Source
from medseg_ext.errors import DataError
from medseg_ext.images.channels import Choice, is_list
from medseg_ext.images.eight_bit import as_rgb_8_bit
from medseg_ext.images.ome_zarr import ZARR_SUFFIX, OmeZarrImage, ome_attributes, open_zarr
from medseg_ext.images.sizes import LARGEST_WHOLE_PX


@dataclass(frozen=True)
class OmeZarrLabels:
    """Objects as a label map of an OME-Zarr image.

    Attributes:
        group: the labels' folder in the source, such as `a.zarr/labels/nuclei`.
        by_components: whether each piece of a value is an object.
    """

    group: str
    by_components: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        """None: they belong to the image, see `files_of`."""
        return ()

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Cut the objects out. Raises: DataError: no label map, or of another size; see `objects_of_labels`."""
        where = source.where(self.group)
        labels, _ = _read_plane(source.path / self.group, where)
        if labels.ndim != 2 or labels.dtype.kind not in "biu" or labels.min() < 0:
            raise DataError(f"{where} is no label map, but {labels.dtype} of shape {labels.shape}: save grey integers")
        if labels.shape != shape:
            raise DataError(other_size(where, labels.shape, shape))
        refuse_scattered(labels, where)
        yield from objects_of_labels(
            labels.astype(np.int64), self.group, where, remarks, by_components=self.by_components
        )


def has_zarr(source: Source) -> bool:
    """Say whether a source is an OME-Zarr, or holds one."""
    return source.path.name.endswith(ZARR_SUFFIX) or any(_top(name) is not None for name in source.names)


def find_images(source: Source) -> tuple[list[tuple[Pair, tuple[str, ...]]], dict[str, list[str]]]:
    """List the images of a folder, with the label maps of each under its part.

    Returns: each image with its files; the names of those without labels, under the reason.
    Raises: DataError: an archive; an image of several label maps, of which nothing tells which one is meant.
    """
    if not isinstance(source, FolderSource):
        raise DataError(f"{source.path} holds OME-Zarr, which is read from folders: unpack it")
    tops = {"."} if source.path.name.endswith(ZARR_SUFFIX) else {top for each in source.names if (top := _top(each))}
    found, without = [], []
    for top in sorted(tops):
        names = _label_names(source.path / top, source.where(top))
        if not names:
            without.append(top)
            continue
        labels = {role_of(name) if len(names) > 1 else "": f"{top}/labels/{name}" for name in names}
        if len(names) > 1 and (len(labels) < len(names) or "" in labels):
            raise DataError(
                f"{source.where(top)} has the labels {', '.join(names)}: keep one, or one of cells and one of nuclei,"
                " with these words in their names"
            )
        image_id = (source.path if top == "." else Path(top)).name.removesuffix(ZARR_SUFFIX).removesuffix(".ome")
        found.append((Pair(top, image_id, labels, section_of(top)), _files_below(source.path, top)))
    return found, {WITHOUT_LABELS: without} if without else {}


def read_zarr_image(source: Source, name: str, *, channel: Choice = None) -> tuple[NDArray[np.uint8], list[str]]:
    """Read the full resolution of an image; as `medseg_ext.datasets.raw_images.read_image_file`.

    Raises: DataError: several planes or times; not grey or RGB; broken.
    """
    array, left_out = _read_plane(source.path / name, source.where(name), channel=channel)
    return as_rgb_8_bit(array, source.where(name), apart=is_list(channel)), left_out


def _top(name: str) -> str | None:
    """Give the path of the OME-Zarr that a file is in."""
    parts = PurePosixPath(name).parts
    end = next((number for number, part in enumerate(parts[:-1], start=1) if part.endswith(ZARR_SUFFIX)), None)
    return None if end is None else "/".join(parts[:end])


def _files_below(folder: Path, top: str) -> tuple[str, ...]:
    """List all files of an OME-Zarr, hidden ones too: there its metadata are."""
    files = (path.relative_to(folder).as_posix() for path in (folder / top).rglob("*") if path.is_file())
    return tuple(sorted(files))


def _label_names(path: Path, where: str) -> list[str]:
    if not (path / "labels").is_dir():
        return []
    names = ome_attributes(open_zarr(path / "labels", f"{where}/labels")).get("labels")
    inside = sorted(each.name for each in (path / "labels").iterdir() if each.is_dir())
    return [str(name) for name in names] if isinstance(names, list) else inside


def _read_plane(path: Path, where: str, *, channel: Choice = None) -> tuple[np.ndarray, list[str]]:
    """Read the full resolution of an image or label map. Returns: grey (H, W) or (H, W, C); what was left out."""
    image = OmeZarrImage(path, where, channel=0 if channel is None else channel)
    if image.n_planes > 1:
        raise DataError(f"{where} has several planes or times ({image.n_planes}): save the one that is labelled alone")
    if math.prod(image.size) > LARGEST_WHOLE_PX:
        raise DataError(f"{where} has {image.size[0]} x {image.size[1]} pixels: cut it into smaller images")
    n_channels = len(image.channels.names)
    if channel is not None:
        return image.read_all(), []
    if n_channels == 3:
        return OmeZarrImage(path, where).read_all(), []
    return image.read_all(), [f"of {n_channels} channels the first was taken"] if n_channels > 1 else []
