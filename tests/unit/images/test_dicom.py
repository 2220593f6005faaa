"""The same pixels come out of DICOM files of every kind."""

import io
import itertools

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from medseg_ext.errors import DataError
from medseg_ext.images.dicom import decode_dicom

ROWS, COLUMNS = np.mgrid[:64, :100]
GREY = 0.2 + 0.6 * (np.hypot(ROWS - 22, COLUMNS - 65) < 15) + COLUMNS / 1000  # in [0, 1]
COLOURS = np.rint(255 * np.dstack([GREY, 0.9 - 0.7 * GREY, GREY**2])).astype(np.uint8)


def dataset_of(pixels, photometric, *, bits=None, syntax=ExplicitVRLittleEndian, frame=None):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.PhotometricInterpretation = photometric
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * pixels.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes() if frame is None else encapsulate([frame])
    return dataset


def decoded(tmp_path, dataset):
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    return decode_dicom(str(tmp_path / "a.dcm"))


def compressed(pixels, kind, **options):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=["plain", "run lengths"])
@pytest.mark.parametrize(
    ("white_is_zero", "bits", "signed", "rescale"),
    itertools.product([False, True], [8, 12, 16], [False, True], [None, (2, -100), (0.5, 3), (1, 32768), (1, -32768)]),
)
def test_grey_of_any_kind_has_its_values(tmp_path, syntax, white_is_zero, bits, signed, rescale):
    stored = np.rint(GREY * (2**bits - 1)) - (2 ** (bits - 1) if signed else 0)
    kind = ("i" if signed else "u") + ("1" if bits == 8 else "2")
    dataset = dataset_of(stored.astype(kind), "MONOCHROME1" if white_is_zero else "MONOCHROME2", bits=bits)
    slope, intercept = rescale or (1, 0)
    if rescale:
        dataset.RescaleSlope, dataset.RescaleIntercept = str(slope), str(intercept)
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    # Black and white change places: the least value that can be stored becomes the largest.
    expected = (-1 if signed else 2**bits - 1) - stored if white_is_zero else stored
    assert np.array_equal(decoded(tmp_path, dataset), slope * expected + intercept)


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize(
    ("planar", "syntax"),
    [(0, ExplicitVRLittleEndian), (1, ExplicitVRLittleEndian), (0, RLELossless)],
    ids=["plain", "planes", "run lengths"],
)
def test_rgb_of_8_and_16_bits_has_its_values(tmp_path, kind, planar, syntax):
    pixels = COLOURS.astype(kind) * (257 if kind == "u2" else 1)
    dataset = dataset_of(pixels, "RGB")
    if planar:
        dataset.PlanarConfiguration, dataset.PixelData = 1, np.ascontiguousarray(np.moveaxis(pixels, -1, 0)).tobytes()
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(decoded(tmp_path, dataset), pixels)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=["plain", "run lengths"])
def test_ybr_full_becomes_rgb(tmp_path, syntax):
    dataset = dataset_of(convert_color_space(COLOURS.copy(), "RGB", "YBR_FULL"), "YBR_FULL")
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_allclose(decoded(tmp_path, dataset).astype(int), COLOURS, atol=3)


def test_ybr_full_422_becomes_rgb(tmp_path):
    # Pairs of equal columns, which lose nothing where two pixels share their colour.
    colours = np.repeat(COLOURS[:, ::2], 2, axis=1)
    ybr = convert_color_space(colours.copy(), "RGB", "YBR_FULL")
    shared = np.stack([ybr[:, 0::2, 0], ybr[:, 1::2, 0], ybr[:, 0::2, 1], ybr[:, 0::2, 2]], axis=-1)
    dataset = dataset_of(ybr, "YBR_FULL_422")
    dataset.PixelData = shared.tobytes()
    np.testing.assert_allclose(decoded(tmp_path, dataset).astype(int), colours, atol=3)


@pytest.mark.parametrize("says", ["RGB", "YBR_FULL", "YBR_FULL_422"])
@pytest.mark.parametrize("holds", ["YCbCr", "YCbCr without a marker", "RGB"])
def test_a_jpeg_has_the_colours_that_it_holds_whatever_the_header_says(tmp_path, says, holds):
    frame = compressed(COLOURS, "JPEG", quality=100, subsampling=0, keep_rgb=holds == "RGB")
    if holds.endswith("marker"):
        frame = frame[:2] + frame[4 + int.from_bytes(frame[4:6], "big") :]  # the first segment is JFIF's
    dataset = dataset_of(COLOURS, says, syntax=JPEGBaseline8Bit, frame=frame)
    np.testing.assert_allclose(decoded(tmp_path, dataset).astype(int), COLOURS, atol=8)


@pytest.mark.parametrize("says", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_compressed_grey_has_its_values(tmp_path, says, kind):
    options = {"quality": 100} if kind == "JPEG" else {"irreversible": False, "no_jp2": True}
    frame = compressed(COLOURS[..., 0], kind, **options)
    syntax = JPEGBaseline8Bit if kind == "JPEG" else JPEG2000Lossless
    found = decoded(tmp_path, dataset_of(COLOURS[..., 0], says, syntax=syntax, frame=frame)).astype(int)
    np.testing.assert_allclose(255 - found if says == "MONOCHROME1" else found, COLOURS[..., 0], atol=4)


@pytest.mark.parametrize("says", ["RGB", "YBR_RCT", "YBR_ICT"])
def test_jpeg_2000_has_its_colours(tmp_path, says):
    lossy = says == "YBR_ICT"
    frame = compressed(COLOURS, "JPEG2000", irreversible=lossy, no_jp2=True, mct=1)
    dataset = dataset_of(COLOURS, says, syntax=JPEG2000 if lossy else JPEG2000Lossless, frame=frame)
    np.testing.assert_allclose(decoded(tmp_path, dataset).astype(int), COLOURS, atol=4 if lossy else 0)


def test_deep_colours_in_jpeg_2000_have_their_values(tmp_path):
    pixels = COLOURS.astype(np.uint16) * 257
    frame = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", mct=False)
    assert np.array_equal(decoded(tmp_path, dataset_of(pixels, "RGB", syntax=JPEG2000Lossless, frame=frame)), pixels)


def test_a_palette_in_jpeg_ls_is_refused(tmp_path):
    index = np.rint(255 * GREY).astype(np.uint8)
    dataset = dataset_of(index, "PALETTE COLOR", syntax=JPEGLSLossless, frame=imagecodecs.jpegls_encode(index))
    for name in ("Red", "Green", "Blue"):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(dataset, f"{name}PaletteColorLookupTableData", bytes(range(256)))
    with pytest.raises(DataError, match=r"PALETTE COLOR.*JPEG-LS.*save it without compression"):
        decoded(tmp_path, dataset)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("index_kind", ["u1", "u2"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=["plain", "run lengths"])
def test_palettes_become_rgb(tmp_path, depth, index_kind, syntax):
    index = np.rint(255 * GREY).astype(index_kind)
    dataset = dataset_of(index, "PALETTE COLOR")
    levels = np.arange(256)
    table = (np.stack([levels, 255 - levels, np.full(256, 128)], axis=1) * (257 if depth == 16 else 1)).astype(
        f"u{depth // 8}"
    )
    for channel, name in enumerate(["Red", "Green", "Blue"]):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, depth])
        setattr(dataset, f"{name}PaletteColorLookupTableData", table[:, channel].tobytes())
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(decoded(tmp_path, dataset), table[index])


def test_bits_at_the_upper_end_are_refused_with_the_remedy(tmp_path):
    dataset = dataset_of(np.arange(12, dtype=np.uint16).reshape(3, 4) << 4, "MONOCHROME2", bits=12)
    dataset.HighBit = 15
    with pytest.raises(DataError, match=r"12 bits below bit 16.*save it as PNG or TIFF"):
        decoded(tmp_path, dataset)


def test_pixels_that_cannot_be_decoded_are_named_with_the_remedy(tmp_path):
    frame = compressed(COLOURS, "JPEG", quality=90)
    dataset = dataset_of(COLOURS, "YBR_FULL_422", syntax=JPEGBaseline8Bit, frame=frame[: len(frame) // 2])
    with pytest.raises(DataError, match=r"a\.dcm is.*PNG"):
        decoded(tmp_path, dataset)
    dataset = dataset_of(COLOURS, "RGB", syntax=UID("1.2.840.10008.1.2.4.201"), frame=b"HTJ2K")
    with pytest.raises(DataError, match=r"a\.dcm is a DICOM"):
        decoded(tmp_path, dataset)
