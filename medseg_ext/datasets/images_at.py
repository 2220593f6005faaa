"""List the images at an address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePath

from medseg_ext.addresses import address_of, is_http, naming_path, without_query
from medseg_ext.datasets.passed_over import FOLDERS, OTHERS, some, tell, without_labels, without_results
from medseg_ext.errors import DataError
from medseg_ext.images.dicom import is_dicom
from medseg_ext.images.formats import FORMAT_NAMES, is_image_name
from medseg_ext.images.ome_zarr import is_ome_zarr
from medseg_ext.object_stores import Entry, at_hand, describe, list_folder


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
    images = dict(image for each in _folders(address, entries, recursive=recursive) for image in each)
    if not images:
        inside = [each.name for each in entries if each.is_folder and not recursive]
        hint = f"; its folders ({some(inside)}) may: give these, or --recursive" if inside else ""
        raise DataError(f"{address} holds no image: give {FORMAT_NAMES} files{hint}")
    return [images[name] for name in without_labels(list(images), address)]


def _folders(
    address: str, entries: Sequence[Entry], *, recursive: bool, beginning: str = ""
) -> Iterator[list[tuple[str, str]]]:
    """Yield the images of a folder, and of those inside it: the name from the first one on, and the address."""
    shown = [each for each in entries if not each.name.startswith(".")]
    zarrs = {each.address for each in shown if each.is_folder and is_ome_zarr(each.address)}
    images = {
        each.name: each.address
        for each in shown
        if each.address in zarrs or (not each.is_folder and is_image_name(PurePath(each.name)))
    }
    folders = [each for each in shown if each.is_folder and each.address not in zarrs]
    if images:
        tell(address, OTHERS, [each.name for each in shown if each.name not in images and not each.is_folder])
        if not recursive:
            tell(address, FOLDERS, [each.name for each in folders], remedy=" (--recursive)")
    by_name = {each.name: each.address for each in entries}
    left = without_results(list(images), address, by_name, lambda name: at_hand(by_name[name]), is_all=not recursive)
    yield [(f"{beginning}{name}", images[name]) for name in left]
    for each in folders if recursive else ():
        inside = list_folder(each.address)
        yield from _folders(each.address, inside, recursive=True, beginning=f"{beginning}{each.name}/")


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
