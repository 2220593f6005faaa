"""Decode DICOM files that hold one image: through ITK, and through pydicom what ITK reads wrongly or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medseg_ext.errors import DataError
from medseg_ext.images.nifti import is_nifti
from medseg_ext.images.raster import IMAGE_SUFFIXES, MAX_PIXELS, decode_image
from medseg_ext.memory import check_bytes

if TYPE_CHECKING:
    from pydicom import Dataset

DICOM_SUFFIX = ".dcm"
BYTES_OF_VALUE = 2 + 8  # as it is stored, and rescaled
LEAST_SHARE_OF_YBR = 0.6  # of the bytes of all values: YBR_FULL_422 has two thirds


def is_dicom(path: Path) -> bool:
    """Say whether a file is DICOM: by its suffix; without one of an image, by its content.

    Names of DICOM files often have no suffix, or end as their identifier does, such as 1.2.840.
    """
    suffix = path.suffix.lower()
    if suffix == DICOM_SUFFIX:
        return True
    if suffix in IMAGE_SUFFIXES or is_nifti(path) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:  # whoever reads it reports that
        return False


def decode_dicom(path: str) -> np.ndarray:
    """Decode a DICOM file: values are rescaled as it says, palettes and YBR become RGB, white-is-zero is inverted.

    Args:
        path: a file of one frame.
    Returns: grey (H, W) or RGB (H, W, 3), of the type that the values need.
    Raises: DataError: broken, cut short, without an image, of several frames, or of a compression that is not read;
        names the file.
    """
    reader_of_file, header = _open_frame(path)
    try:
        if reader_of_file is None or _is_for_pydicom(header):
            return _decode_with_pydicom(path)
        return _decode_with_itk(path, reader_of_file)
    except DataError:
        raise
    except Exception as error:  # of two libraries: a dozen kinds, and messages that begin with lines on their source
        kind = f"{header.get('PhotometricInterpretation', 'values')} of {header.get('BitsStored', '?')} bits"
        signs = " with signs" if header.get("PixelRepresentation") else ""
        raise DataError(
            f"{path} is a DICOM file whose pixels ({kind}{signs}, {_compression(header)}) are damaged or cannot be "
            "read: save it without compression, or as PNG or TIFF"
        ) from error


def dicom_header(path: str) -> tuple[tuple[int, int], int]:
    """Read the size (H, W) and the number of channels. Raises: DataError: as `decode_dicom`, by the header."""
    _, header = _open_frame(path)
    has_colours = header.get("SamplesPerPixel") == 3 or header.get("PhotometricInterpretation") == "PALETTE COLOR"
    return (header.Rows, header.Columns), 3 if has_colours else 1


def dicom_pixel_size_um(path: str) -> tuple[float, float] | None:
    """Read the height and width of a pixel; None where the file does not tell.

    From Pixel Spacing, at the top or among the functional groups of newer files (PS3.3, C.7.6.16), else from Imager
    Pixel Spacing.

    Raises: DataError: as `decode_dicom`.
    """
    _open(path)  # reports what is no image
    header = read_header(path)
    for place in (*_pixel_measures(header), header):
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            try:
                height_mm, width_mm = map(float, place.get(keyword) or ())
            except (TypeError, ValueError):  # none, or no two numbers
                continue
            return 1000 * height_mm, 1000 * width_mm
    return None


def read_header(path: str) -> Dataset:
    """Read all of a DICOM file but the pixels; damaged elements are left out when they are asked for."""
    from pydicom import dcmread

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that the standard does not allow
        return dcmread(path, force=True, stop_before_pixels=True)


def _pixel_measures(header: Dataset) -> list[Dataset]:
    """Give the groups that tell of the first frame's pixels, its own before those that all frames share."""
    groups: list[Dataset] = []
    for keyword in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for functional in list(header.get(keyword) or ())[:1]:
            groups += list(functional.get("PixelMeasuresSequence") or ())[:1]
    return groups


def _is_for_pydicom(header: Dataset) -> bool:
    """Say whether pydicom is to read an image: ITK reads it wrongly or not at all.

    As tried with ITK 5.4 it takes a palette's 16 bits for 8, or gives zeros; takes YCbCr for RGB where the header says
    so and the JPEG does not; mixes up run-length coded RGB of 16 bits; refuses values with signs that have 8 bits, 12
    where white is zero, or 16 and are rescaled to what has none. It reads right, and pydicom with Pillow does not, RGB
    of 16 bits in JPEG 2000.
    """
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000TransferSyntaxes

    if header.get("PhotometricInterpretation") == "PALETTE COLOR":
        return True  # an error is better than other colours
    has_colours = header.get("SamplesPerPixel") == 3
    if not has_colours and header.get("PixelRepresentation") != 1:
        return False
    try:
        syntax = header.file_meta.TransferSyntaxUID
        is_available = get_decoder(syntax).is_available
    except (AttributeError, NotImplementedError):  # no such element, or a compression unknown to pydicom
        return False
    return is_available and not (
        has_colours and header.get("BitsAllocated") == 16 and syntax in JPEG2000TransferSyntaxes
    )


def _decode_with_itk(path: str, reader_of_file: Any) -> np.ndarray:
    import itk

    if reader_of_file.GetNumberOfComponents() == 3 and reader_of_file.GetComponentSize() == 2:
        # ITK's Python has no RGB of 16 bits
        reader = itk.ImageFileReader[itk.VectorImage[itk.US, 3]].New(FileName=path, ImageIO=reader_of_file)
        reader.Update()
        image = reader.GetOutput()
    else:
        image = itk.imread(path, imageio=reader_of_file)
    array = itk.array_from_image(image)
    return array[0] if reader_of_file.GetNumberOfDimensions() > 2 else array


def _decode_with_pydicom(path: str) -> np.ndarray:
    from pydicom import dcmread
    from pydicom.encaps import generate_frames
    from pydicom.pixels import apply_color_lut, apply_rescale
    from pydicom.uid import JPEGBaseline8Bit

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers that the pixels belie, which is why they are read here
        dataset = dcmread(path, force=True)
        if dataset.file_meta.TransferSyntaxUID == JPEGBaseline8Bit and dataset.SamplesPerPixel == 3:
            # A JPEG tells itself whether it holds RGB or YCbCr, by its markers and the names of its channels.
            return decode_image(next(generate_frames(dataset.PixelData, number_of_frames=1)), path)
        array = dataset.pixel_array
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            return apply_color_lut(array, dataset)
        if dataset.SamplesPerPixel == 3:
            return array
        # With signs ~ swaps the least and the largest value, whatever the number of bits.
        return apply_rescale(~array if dataset.PhotometricInterpretation == "MONOCHROME1" else array, dataset)


def _compression(header: Dataset) -> str:
    try:
        return str(header.file_meta.TransferSyntaxUID.name)
    except AttributeError:
        return "of unknown compression"


def _open_frame(path: str) -> tuple[Any, Dataset]:
    image_io = _open(path)
    header = read_header(path)
    bits, highest = header.get("BitsStored"), header.get("HighBit")
    if bits and highest is not None and highest != bits - 1:
        raise DataError(
            f"{path} is a DICOM file that holds its {bits} bits below bit {highest + 1}, as older ones may (High Bit): "
            "save it as PNG or TIFF"
        )
    n_frames = header.get("NumberOfFrames") or 1
    if n_frames != 1:
        raise DataError(f"{path} holds {n_frames} frames: save the one to be segmented alone, as DICOM or PNG")
    if not all(isinstance(header.get(side), int) and header.get(side) > 0 for side in ("Rows", "Columns")):
        raise DataError(f"{path} is a DICOM file that does not tell its size, or is damaged: get it again")
    if header.Columns * header.Rows > MAX_PIXELS:
        raise DataError(f"{path} claims {header.Columns} x {header.Rows} pixels: cut it into smaller images")
    n_values = header.Columns * header.Rows * (header.get("SamplesPerPixel") or 1)
    n_bytes = n_values * (header.get("BitsAllocated") or 8) / 8
    if _is_plain(header) and Path(path).stat().st_size < LEAST_SHARE_OF_YBR * n_bytes:
        raise DataError(
            f"{path} claims {header.Columns} x {header.Rows} pixels, and ends before: get it again from its origin"
        )
    check_bytes(n_values * BYTES_OF_VALUE, path)
    return image_io, header


def _is_plain(header: Dataset) -> bool:
    """Say whether the pixels lie in the file as they are."""
    try:
        kind = header.file_meta.TransferSyntaxUID
        return not (kind.is_compressed or kind.is_deflated)
    except (AttributeError, ValueError):  # none is told, or an unknown one
        return False


def _open(path: str) -> Any:
    """Open an image with ITK; None of one that only pydicom knows. Raises: DataError: it is none; names it."""
    itk = _packages(path)
    with Path(path).open("rb"):  # the system's own message where it cannot be opened
        image_io = itk.GDCMImageIO.New()
    if _has_unknown_kinds(path):  # ITK takes gigabytes for such an element, and keeps them
        raise DataError(f"{path} is a DICOM file that is damaged: get it again from its origin")
    try:
        readable = image_io.CanReadFile(path)
        if readable:
            image_io.SetFileName(path)
            image_io.ReadImageInformation()
    except RuntimeError:
        readable = False
    if not readable and not _has_pixels(path):
        raise DataError(f"{path} is not a DICOM image, or is cut short: get it again from its origin")
    return image_io if readable else None


def _has_unknown_kinds(path: str) -> bool:
    """Say whether an element has a kind of value (VR) that the standard does not have."""
    from pydicom.valuerep import VR

    try:
        header = read_header(path)
        kinds = {element.VR for part in (header.file_meta, header) for element in part.values()}
    except Exception:  # of what is no DICOM file
        return False
    known = {str(kind) for kind in VR}
    return any(kind is not None and str(kind) not in known for kind in kinds)


def _packages(path: str) -> Any:
    """Import what reads DICOM; returns ITK. Raises: DataError: it is not installed; names the file."""
    try:
        import itk  # slow to import
        import pydicom  # noqa: F401
    except ImportError as error:
        raise DataError(f"{path} is DICOM, which needs packages: pip install 'medseg-ext[dicom]'") from error
    return itk


def _has_pixels(path: str) -> bool:
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that the standard does not allow
            dataset = dcmread(path, force=True, defer_size=2**16)
        return bool(dataset.Rows and dataset.Columns and "PixelData" in dataset)
    except Exception:  # of what is no DICOM file
        return False
