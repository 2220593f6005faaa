"""Tell by their names which files are images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

from medseg_ext.addresses import PathLike, shown
from medseg_ext.files import check_regular, told_if_unreadable
from medseg_ext.images.channels import Choice, LeftOut, choose_channels
from medseg_ext.images.dicom import DICOM_SUFFIX, dicom_header, is_dicom
from medseg_ext.images.nifti import NIFTI_SUFFIXES, is_nifti, nifti_header
from medseg_ext.images.ome_zarr import ZARR_SUFFIX, OmeZarrImage, is_ome_zarr
from medseg_ext.images.raster import IMAGE_SUFFIXES, check_only_page, is_tiff, raster_header
from medseg_ext.images.tiff import TiffImage
from medseg_ext.object_stores import at_hand

SLIDE_SUFFIXES = (".svs", ".ndpi", ".scn", ".qptiff")  # TIFFs of slide scanners
ZARR_SUFFIXES = (f".ome{ZARR_SUFFIX}", ZARR_SUFFIX)
INFERENCE_SUFFIXES = (*IMAGE_SUFFIXES, *SLIDE_SUFFIXES, *NIFTI_SUFFIXES, DICOM_SUFFIX)
FORMAT_NAMES = "PNG, BMP, JPEG, TIFF, SVS, NDPI, SCN, NIfTI, DICOM or OME-Zarr"


def is_image_name(file: PurePath) -> bool:
    """Say whether a folder's file is to be taken for an image; hidden ones are not.

    >>> [is_image_name(Path(name)) for name in ("a.PNG", "a.nii.gz", "a.gz", "._a.png")]
    [True, True, False, False]
    """
    return file.name.lower().endswith(INFERENCE_SUFFIXES) and not file.name.startswith(".")


def is_image_file(file: Path, *, chosen: bool = False) -> bool:
    """Say whether a path is to be taken for an image.

    A link that leads nowhere is: people see an image there, and are to be told. Folders, but for those of OME-Zarr,
    pipes and devices are not.

    Args:
        file: the path.
        chosen: whether it was named itself, and not found in a folder; it may then also be a DICOM file without
            its suffix.
    """
    if is_ome_zarr(file):
        return chosen or not file.name.startswith(".")
    named = is_image_name(file) or (chosen and is_dicom(file))
    return named and (file.is_file() or (file.is_symlink() and not file.exists()))


class Header(NamedTuple):
    """What is known of an image before its pixels are read.

    Attributes:
        size: (H, W); of PNG, BMP and JPEG before an orientation is applied.
        left_out: what a person is to be told, such as which of several pages is read.
    """

    size: tuple[int, int]
    left_out: Sequence[LeftOut] = ()


def read_header(path: PathLike, *, page: int = 0, channel: Choice = None) -> Header:
    """Read the header of an image of any format, and no pixels; what is at an address is fetched as `read_rgb` does.

    Raises: as `medseg_ext.images.read_rgb`, as far as the header tells; others of the libraries that read, such as
        ITK's TypeError for some names.
    """
    if is_ome_zarr(path):
        image = OmeZarrImage(path, shown(path), page=page, channel=channel)
        return Header(image.size, image.left_out)
    with at_hand(path) as file, told_if_unreadable(file):
        check_regular(file)  # before libraries tell in their own words that it cannot be opened
        return _read_header(file, page=page, channel=channel)


def _read_header(file: Path, *, page: int, channel: Choice) -> Header:
    where = str(file)
    if not (is_nifti(file) or is_dicom(file)) and is_tiff(file):
        image = TiffImage(file, where, page=page, channel=channel)
        return Header(image.size, image.left_out)
    check_only_page(page, where)
    left_out: Sequence[LeftOut] = ()
    if is_nifti(file):
        size, n_channels = nifti_header(where)
    elif is_dicom(file):
        size, n_channels = dicom_header(where)
    else:
        size, n_channels, left_out = raster_header(file)
    choose_channels([""] * n_channels, channel, where)
    return Header(size, left_out)


def image_stem(file: PurePath) -> str:
    """Give a file's name without the suffix of its format.

    >>> [image_stem(Path(name)) for name in ("a.b.png", "scan.nii.gz", "a.ome.zarr", "1.2.840.113")]
    ['a.b', 'scan', 'a', '1.2.840.113']
    """
    suffix = next((each for each in (*INFERENCE_SUFFIXES, *ZARR_SUFFIXES) if file.name.lower().endswith(each)), "")
    return file.name[: len(file.name) - len(suffix)] or file.name
