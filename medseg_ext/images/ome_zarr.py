"""Read boxes of OME-Zarr images (NGFF)."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from medseg_ext.addresses import PathLike, address_of, inside, naming_path, shown
from medseg_ext.errors import DataError
from medseg_ext.images.boxes import Box
from medseg_ext.images.channels import Choice, LeftOut, choose_channels
from medseg_ext.images.reductions import whole_reduction
from medseg_ext.memory import check_bytes
from medseg_ext.object_stores import describe, is_there, reason, told

ZARR_SUFFIX = ".zarr"
LABELS_FOLDER = "labels"  # in an image
VERSIONS = ("0.1", "0.2", "0.3", "0.4", "0.5")  # of NGFF
UM_OF_UNIT = {  # in full, as NGFF has them
    "meter": 1e6, "centimeter": 1e4, "millimeter": 1e3, "micrometer": 1.0, "nanometer": 1e-3, "angstrom": 1e-4,
    "inch": 25400.0,
}  # fmt: skip
_METADATA = (".zattrs", ".zgroup", "zarr.json")
_ENDING = re.compile(r"\.[a-z][a-z0-9]{1,6}$", re.IGNORECASE)  # of a file's name
_ROWS_AT_ONCE = 1024  # while the range of values is sought


def is_ome_zarr(path: PathLike) -> bool:
    """Say whether a path or an address is a folder of Zarr, by its name or by what is in it.

    At an address, what has the ending of another format is none, without a question to the server.
    """
    if address_of(path) is not None:
        return _is_zarr_at(shown(path))
    path = Path(path)
    with contextlib.suppress(OSError):  # whoever reads it reports that
        return path.is_dir() and (
            path.name.lower().endswith(ZARR_SUFFIX) or any((path / name).is_file() for name in _METADATA)
        )
    return False


@cache
def _is_zarr_at(address: str) -> bool:
    name = naming_path(address).name
    if name.lower().endswith(ZARR_SUFFIX):
        return True
    return not _ENDING.search(name) and any(is_there(inside(address, each)) for each in _METADATA)


def describe_zarr(address: str) -> tuple[int | None, str]:
    """Give what changes with an image at an address: of its metadata, as chunks may be hundreds of thousands.

    Raises: DataError: there are none; names the address.
    """
    files = [inside(address, each) for each in _METADATA]
    return describe(next((each for each in files if is_there(each)), files[0]))


def zarr_package(where: str) -> Any:
    """Import zarr. Raises: DataError: it is not installed; names what is OME-Zarr."""
    try:
        import zarr
    except ImportError as error:
        raise DataError(f"{where} is OME-Zarr, which needs a package: pip install 'medseg-ext[ome-zarr]'") from error
    return zarr


def open_zarr(path: PathLike, where: str) -> Any:
    """Open a group or an array of Zarr to read; at an address, only what is asked for is fetched.

    Raises: DataError: it is none, or damaged; it cannot be reached; zarr is not installed.
    """
    zarr = zarr_package(where)
    if address_of(path) is not None:
        from medseg_ext.images.zarr_store import AddressedStore

        with told(path):
            store = AddressedStore.at(path)
            try:
                return zarr.open(store, mode="r")
            except FileNotFoundError as error:
                raise store.refusal or error from error
    try:
        return zarr.open(str(path), mode="r")
    except Exception as error:  # zarr has a dozen kinds
        raise DataError(
            f"{where} is no Zarr, or is damaged ({' '.join(str(error).split())}): write it again"
        ) from error


def ome_attributes(group: Any) -> Mapping[str, Any]:
    """Give what NGFF says of a group: from version 0.5 on below a name of its own."""
    attributes = dict(group.attrs)
    own: Mapping[str, Any] = attributes.get("ome", attributes)
    return own


class OmeZarrImage:
    """One plane of an OME-Zarr image, of which the chunks are decoded that a box touches.

    Planes are the places along all axes but channel, y and x: of times and depths (t, z) those of one time follow each
    other.

    Args:
        path: the folder of the image, or its address.
        where: its name, for messages.
        page: number of the plane, from 0.
        channel: number, from 0, or name, as in the `omero` metadata, of the one channel to read, as grey, or
            several; None takes grey or RGB.

    Attributes:
        size: (H, W).
        dtype: of its values.
        reductions: see `medseg_ext.images.BlockImage`.
        left_out: what a person is to be told: which of several planes and channels were taken.
        n_planes: number of planes.
        pixel_size_um: (height, width) of a pixel; None where the metadata do not tell.

    Raises:
        DataError: no image of OME-Zarr, or of an unknown version; no such plane or channel; a package is missing. Names
            the folder and the remedy.
    """

    def __init__(self, path: PathLike, where: str, *, page: int = 0, channel: Choice = None) -> None:
        self._where = where
        self._is_remote = address_of(path) is not None
        with told(path) if self._is_remote else contextlib.nullcontext():
            self._open(path, where, page=page, channel=channel)

    def _open(self, path: PathLike, where: str, *, page: int, channel: Choice) -> None:
        group = open_zarr(path, where)
        attributes = ome_attributes(group)
        self._refuse_unknown_version(attributes)
        try:
            scales = attributes["multiscales"][0]
            self._axes = [axis["name"] if isinstance(axis, Mapping) else axis for axis in scales.get("axes", "tczyx")]
            arrays = [group[each["path"]] for each in scales["datasets"]]
            lengths = dict(zip(self._axes, arrays[0].shape, strict=True))
            self.size = (lengths["y"], lengths["x"])
            self.pixel_size_um = _pixel_size_um(scales, self._axes)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise DataError(
                f"{where} is no image of OME-Zarr (no multiscales in it): give the folder of the image"
            ) from error
        self.left_out: list[LeftOut] = []
        self._place = self._choose_plane(lengths, page)
        n_channels = lengths.get("c", 1)
        self.channels = choose_channels(_channel_names(attributes, n_channels), channel, where)
        if self.channels.left_out:
            self.left_out.append(self.channels.left_out)
        self.dtype = arrays[0].dtype.newbyteorder("=")
        self._levels = {1: arrays[0]}
        for array in arrays[1:]:
            of_level = dict(zip(self._axes, array.shape, strict=True))
            is_alike = all(of_level[axis] == lengths[axis] for axis in self._axes if axis not in ("y", "x"))
            reduction = whole_reduction(self.size, (of_level["y"], of_level["x"]))
            if reduction is not None and is_alike:
                self._levels[reduction] = array
        self.reductions: Sequence[int] = tuple(sorted(self._levels))
        self._array = arrays[0]

    def reduced(self, reduction: int) -> OmeZarrImage:
        """Give a level of the image, one of `reductions`, to be read as the image is."""
        level = object.__new__(OmeZarrImage)
        level.__dict__.update(self.__dict__)
        level._array = self._levels[reduction]
        height, width = (level._array.shape[self._axes.index(axis)] for axis in "yx")
        level.size = (height, width)
        return level

    def read(self, box: Box) -> np.ndarray:
        """Read a box: grey (h, w) or of channels (h, w, C), of `dtype`.

        Raises: DataError: the image is damaged, or box or chunk take more than a file may, see `medseg_ext.memory`;
            names it.
        """
        n_values = max(math.prod(box.size) * len(self.channels.taken), math.prod(self._array.chunks))
        check_bytes(2 * n_values * self.dtype.itemsize, self._where, remedy="save it in smaller chunks, or cut it")
        rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
        try:
            channels = [
                np.asarray(
                    self._array[
                        tuple({**self._place, "c": number, "y": rows, "x": columns}[axis] for axis in self._axes)
                    ]
                )
                for number in self.channels.taken
            ]
        except Exception as error:  # of zarr and many decoders
            if self._is_remote:
                raise DataError(
                    f"{self._where} cannot be read, or is damaged ({reason(error)}): check the connection, try again"
                ) from error
            raise DataError(
                f"{self._where} is damaged ({' '.join(str(error).split())}): get it again, or write it again"
            ) from error
        if self._axes.index("y") > self._axes.index("x"):
            channels = [channel.T for channel in channels]
        return self.channels.of(np.stack(channels, axis=-1)).astype(self.dtype, copy=False)

    def read_all(self) -> np.ndarray:
        """Read the whole plane, see `read`."""
        return np.ascontiguousarray(self.read(Box(0, 0, *self.size)))

    @property
    def value_range(self) -> tuple[float, float]:
        """The least and the greatest value, both NaN where one of its values is."""
        height, width = self.size
        parts = [
            self.read(Box(top, 0, min(top + _ROWS_AT_ONCE, height), width)) for top in range(0, height, _ROWS_AT_ONCE)
        ]
        lows, highs = zip(*((part.min(), part.max()) for part in parts), strict=True)
        return float(np.min(lows)), float(np.max(highs))

    def _refuse_unknown_version(self, attributes: Mapping[str, Any]) -> None:
        scales = attributes.get("multiscales")
        of_scales = (
            scales[0].get("version") if isinstance(scales, list) and scales and isinstance(scales[0], Mapping) else None
        )
        version = str(attributes.get("version") or of_scales or VERSIONS[-1])
        if ".".join(version.partition("-")[0].split(".")[:2]) not in VERSIONS:
            raise DataError(
                f"{self._where} is of NGFF {version}, of which {VERSIONS[0]} to {VERSIONS[-1]} are read: write it "
                "again as one of these"
            )

    def _choose_plane(self, lengths: Mapping[str, int], page: int) -> dict[str, int]:
        """Give the place of a plane along the other axes."""
        others = {axis: length for axis, length in lengths.items() if axis not in ("c", "y", "x")}
        self.n_planes = n_planes = math.prod(others.values())
        if page >= n_planes:
            raise DataError(
                f"{self._where} has no page {page}: it has {n_planes}, counted from 0; choose another with --page"
            )
        if n_planes > 1:
            of = ", ".join(f"{axis} {length}" for axis, length in others.items() if length > 1)
            text = f"of {n_planes} pages ({of}) page {page} was taken, counted from 0"
            self.left_out.append(LeftOut(text, "--page chooses another"))
        places = np.unravel_index(page, tuple(others.values())) if others else ()
        return {axis: int(place) for axis, place in zip(others, places, strict=True)}


def _channel_names(attributes: Mapping[str, Any], n_channels: int) -> list[str]:
    omero = attributes.get("omero")
    channels = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(channels, Sequence) or len(channels) != n_channels:
        return [""] * n_channels
    return [str(channel.get("label") or "") if isinstance(channel, Mapping) else "" for channel in channels]


def _pixel_size_um(scales: Mapping[str, Any], axes: Sequence[str]) -> tuple[float, float] | None:
    """Read the size of a pixel of the full resolution; None where the metadata do not tell it."""
    factors = np.ones(len(axes))
    transformations = [scales["datasets"][0].get("coordinateTransformations"), scales.get("coordinateTransformations")]
    scalings = [each["scale"] for several in transformations for each in several or () if each.get("type") == "scale"]
    for scaling in scalings:
        factors = factors * np.asarray(scaling, dtype=float)
    units = [axis.get("unit") if isinstance(axis, Mapping) else None for axis in scales.get("axes", ())]
    sides = []
    for axis in "yx":
        unit_um = UM_OF_UNIT.get(str(units[axes.index(axis)])) if units else None
        if unit_um is None or not scalings:
            return None
        sides.append(float(factors[axes.index(axis)]) * unit_um)
    return sides[0], sides[1]
