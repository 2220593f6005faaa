"""A pixel has the size that its file tells, unless no microscope's pixel has it."""

import itertools

import numpy as np
import pytest
import tifffile
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from medseg_ext.images.pixel_size import LARGEST_UM, LEAST_UM, read_pixel_size_um

PIXELS = np.zeros((5, 9), np.uint8)
IMAGEJ_UNITS = {"micron": 1, "um": 1, "\\u00B5m": 1, "nm": 1e-3, "mm": 1e3, "inch": 25400, "cm": 1e4}


@pytest.mark.parametrize("unit", IMAGEJ_UNITS)
def test_imagej_units_are_read(tmp_path, unit):
    per_unit = IMAGEJ_UNITS[unit] / np.array([0.25, 0.5])  # pixels, by x and y
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=tuple(per_unit), metadata={"unit": unit})
    assert read_pixel_size_um(tmp_path / "a.tif") == pytest.approx((0.5, 0.25), rel=1e-4)


@pytest.mark.parametrize("unit", ["pixel", "pixels", "furlong"])
def test_imagej_units_that_are_no_lengths_tell_no_size(tmp_path, unit):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, resolution=(2, 2), metadata={"unit": unit})
    assert read_pixel_size_um(tmp_path / "a.tif") is None


@pytest.mark.parametrize(("unit", "um"), [("µm", 1), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("m", 1e6), ("in", 25400)])
def test_ome_units_are_read(tmp_path, unit, um):
    sizes = {"PhysicalSizeX": 0.25 / um, "PhysicalSizeY": 0.5 / um}
    units = {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, ome=True, metadata={"axes": "YX", **sizes, **units})
    assert read_pixel_size_um(tmp_path / "a.tif") == pytest.approx((0.5, 0.25))


def test_aperio_tells_micrometres_a_pixel_beside_dots_an_inch(tmp_path):
    description = (
        "Aperio Image Library v11.2.1\r\n46000x32914 [0,100] (256x256) JPEG/RGB Q=30|AppMag = 40|MPP = 0.2528|ID=1"
    )
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, description=description, resolution=(72, 72), resolutionunit="INCH")
    assert read_pixel_size_um(tmp_path / "a.tif") == pytest.approx((0.2528, 0.2528))


@pytest.mark.parametrize(
    ("unit", "dots"),
    [*itertools.product(["INCH"], [1, 72, 96, 150, 180, 220, 300, 600, 1200, 5e6]), ("CENTIMETER", 1), ("NONE", 7)],
)
def test_dots_of_screens_and_printers_are_left_out_with_a_remark(tmp_path, caplog, unit, dots):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolution=(dots, dots), resolutionunit=unit)
    assert read_pixel_size_um(tmp_path / "a.tif") is None
    assert ("no microscope's" in caplog.text) == (unit != "NONE")
    assert unit == "NONE" or "--pixel_size_um" in caplog.text


@pytest.mark.parametrize("um", [LEAST_UM, 0.065, 0.25, 1, 10, LARGEST_UM])
def test_sizes_of_microscopes_are_kept(tmp_path, um):
    sizes = {"PhysicalSizeX": um, "PhysicalSizeY": um}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, ome=True, metadata={"axes": "YX", **sizes})
    assert read_pixel_size_um(tmp_path / "a.tif") == pytest.approx((um, um))


def _spaced(keyword):
    group = Dataset()
    setattr(group, keyword, [0.0005, 0.00025])
    return group


def _functional(sequence):
    measures = Dataset()
    measures.PixelMeasuresSequence = Sequence([_spaced("PixelSpacing")])
    group = Dataset()
    setattr(group, sequence, Sequence([measures]))
    return group


@pytest.mark.parametrize(
    "spacing",
    [
        _spaced("PixelSpacing"),
        _spaced("ImagerPixelSpacing"),
        _functional("SharedFunctionalGroupsSequence"),
        _functional("PerFrameFunctionalGroupsSequence"),
    ],
)
def test_dicom_tells_the_spacing_in_any_of_its_places(tmp_path, spacing):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = 5, 9, 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PhotometricInterpretation, dataset.PixelData = "MONOCHROME2", PIXELS.tobytes() + b"\0"
    dataset.update(spacing)
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    assert read_pixel_size_um(tmp_path / "a.dcm") == pytest.approx((0.5, 0.25))
