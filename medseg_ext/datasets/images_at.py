"""List the images at an address."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from medseg_ext.addresses import address_of, is_http, naming_path, without_query
from medseg_ext.errors import DataError
from medseg_ext.files import as_text
from medseg_ext.images.dicom import is_dicom
from medseg_ext.images.formats import FORMAT_NAMES, is_image_name
from medseg_ext.images.ome_zarr import is_ome_zarr
from medseg_ext.object_stores import Entry, at_hand, describe, list_folder

OTHERS_NAMED = 5  # of what a folder holds besides images

logger = logging.getLogger(__name__)


def images_at(address: str, *, recursive: bool = False) -> list[str]:
    """List images for inference, as `medseg_ext.datasets.list_images` does those of a local folder.

    Args:
        address: what stands for that of an image or a folder, see `medseg_ext.addresses.place`.
        recursive: look in the folders inside folders, too, hidden ones left out.

    Returns:
        What stands for the address of each.

    Raises:
        DataError: nothing there, or nothing that may be read; no file of a format that can be read.
    """
    if is_ome_zarr(address):
        _refuse_query(address, "an OME-Zarr")
        return [address]
    if is_image_name(naming_path(address)):
        describe(address)  # to tell at once that it is not there
        return [address]
    entries = list_folder(address)
    if not entries:
        return _other_file(address)
    _refuse_query(address, "a folder")
    images = [image for each in _folders(address, entries, recursive=recursive) for image in each]
    if not images:
        inside = [each.name for each in entries if each.is_folder and not recursive]
        hint = f"; its folders ({_some(inside)}) may: give these, or --recursive" if inside else ""
        raise DataError(f"{address} holds no image: give {FORMAT_NAMES} files{hint}")
    return images


def _folders(address: str, entries: Sequence[Entry], *, recursive: bool) -> Iterator[list[str]]:
    """Yield the images of a folder, and of those inside it."""
    shown = [each for each in entries if not each.name.startswith(".")]
    zarrs = {each.address for each in shown if each.is_folder and is_ome_zarr(each.address)}
    images = [
        each for each in shown if each.address in zarrs or (not each.is_folder and is_image_name(PurePath(each.name)))
    ]
    folders = [each for each in shown if each.is_folder and each.address not in zarrs]
    others = [each.name for each in shown if each not in images and not (recursive and each.is_folder)]
    if images and others:
        logger.warning("%s: passed over, as they are no %s files: %s", address, FORMAT_NAMES, _some(others))
    yield [each.address for each in images]
    for each in folders if recursive else ():
        yield from _folders(each.address, list_folder(each.address), recursive=True)


def _other_file(address: str) -> list[str]:
    """Take a file without an ending of a format, if it is DICOM; refuse what is nothing."""
    if naming_path(address).suffix or address.endswith("/"):
        hint = " (a server of HTTP may not list its folders: name the images)" if is_http(address) else ""
        raise DataError(f"{address} holds no image, or is none{hint}: give {FORMAT_NAMES} files")
    with at_hand(address) as file:
        if not is_dicom(file):
            raise DataError(f"{address} is not an image: give {FORMAT_NAMES} files")
    return [address]


def _refuse_query(address: str, what: str) -> None:
    whole = address_of(address) or address
    if without_query(whole) != whole:
        raise DataError(
            f"{address} is {what}, of which each file would need a query (what follows ?) of its own: give the right "
            "by headers in fsspec's configuration, or by the address of the object store itself"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - OTHERS_NAMED} more" if len(names) > OTHERS_NAMED else ""
    return f"{as_text(', '.join(names[:OTHERS_NAMED]))}{more}"
