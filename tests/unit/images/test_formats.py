"""Rows are rows, and pixels have their size, in every format of images."""

import itk
import nibabel
import numpy as np
import pytest
import rasterio
import tifffile
from image_files import deep_png, dicom
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images.pixel_size import read_pixel_size_um
from medseg_ext.images.read import read_rgb

CORNER = np.zeros((5, 9), np.uint8)
CORNER[1, 7] = 255
COLOURS = np.random.default_rng(0).integers(2**16, size=(5, 9, 3)).astype(np.uint16)


def save_as_itk(path, array, spacing=None):
    image = itk.image_from_array(array, is_vector=array.ndim == 3)
    if spacing:
        image.SetSpacing(spacing)
    itk.imwrite(image, str(path))


def save(path, array):
    if path.name.endswith((".nii", ".nii.gz")):
        save_as_itk(path, array)
    elif path.suffix == ".dcm":
        path.write_bytes(dicom(array))
    else:
        Image.fromarray(array).save(path, **({"quality": 100, "subsampling": 0} if "jp" in path.suffix else {}))


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".nii", ".nii.gz", ".dcm"])
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_are_rows_in_every_format(tmp_path, suffix, channels):
    path = tmp_path / f"corner{suffix}"
    save(path, CORNER if channels == 1 else np.repeat(CORNER[..., None], 3, axis=2))
    image = read_rgb(path)
    assert image.shape == (5, 9, 3)
    assert np.argwhere(image.min(axis=2) > 0.9).tolist() == [[1, 7]]


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz", ".dcm"])
def test_images_of_one_row_or_column_keep_their_shape(tmp_path, suffix, shape):
    pixels = np.full(shape, 255, np.uint8)
    if suffix == ".nii.gz":  # not with ITK, whose arrays of one column turn into rows
        nibabel.save(nibabel.Nifti1Image(pixels.T, None), tmp_path / "a.nii.gz")
    else:
        save(tmp_path / f"a{suffix}", pixels)
    assert read_rgb(tmp_path / f"a{suffix}").shape == (*shape, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("trailing", [(), (1,), (1, 1)])
def test_nifti_of_nibabel_has_its_columns_first_whatever_its_trailing_axes(tmp_path, trailing, dtype):
    stored = (CORNER > 0).T.astype(dtype).reshape(9, 5, *trailing)
    nibabel.save(nibabel.Nifti1Image(stored, np.diag([-1.0, 1, 1, 1])), tmp_path / "a.nii.gz")
    image = read_rgb(tmp_path / "a.nii.gz")
    assert image.shape == (5, 9, 3)
    assert np.argwhere(image[..., 0] == image.max()).tolist() == [[1, 7]]


@pytest.mark.parametrize("channels", [3, 4])
def test_nifti_of_vectors_and_of_structures_are_colours(tmp_path, channels):
    colours = np.dstack([COLOURS, COLOURS])[..., :channels]
    nibabel.save(nibabel.Nifti1Image(colours.swapaxes(0, 1)[:, :, None, None], None), tmp_path / "vector.nii")
    assert np.array_equal(np.rint(read_rgb(tmp_path / "vector.nii") * 65535), COLOURS)
    pixels = np.dtype([(name, "u1") for name in "RGBA"[:channels]])
    stored = np.ascontiguousarray(colours.astype(np.uint8)).view(pixels)[..., 0].T
    nibabel.save(nibabel.Nifti1Image(stored, None), tmp_path / "structure.nii")
    assert np.array_equal(np.rint(read_rgb(tmp_path / "structure.nii") * 255), COLOURS.astype(np.uint8))


def test_volumes_are_refused_by_name_with_the_remedy(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 5, 3), np.uint8), None), tmp_path / "volume.nii.gz")
    (tmp_path / "frames.dcm").write_bytes(dicom(np.zeros((3, 5, 9), np.uint8), frames=3))
    with pytest.raises(DataError, match=r"volume\.nii\.gz is a volume.*save the slice"):
        read_rgb(tmp_path / "volume.nii.gz")
    with pytest.raises(DataError, match=r"frames\.dcm holds 3 frames: save the one"):
        read_rgb(tmp_path / "frames.dcm")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".dcm"])
@pytest.mark.parametrize("part", [0, 0.4, 0.9])
def test_medical_files_cut_short_are_refused_by_name(tmp_path, suffix, part):
    save(tmp_path / f"whole{suffix}", COLOURS[..., 0])
    data = (tmp_path / f"whole{suffix}").read_bytes()
    (tmp_path / f"cut{suffix}").write_bytes(data[: int(part * len(data))])
    with pytest.raises(DataError, match=f"cut{suffix} is"):
        read_rgb(tmp_path / f"cut{suffix}")


def test_a_dicom_file_needs_no_suffix(tmp_path):
    for name in ("IM000001", "1.2.840.5"):
        (tmp_path / name).write_bytes(dicom(COLOURS[..., 0]))
        assert np.array_equal(np.rint(read_rgb(tmp_path / name)[..., 0] * 65535), COLOURS[..., 0])


def test_dicom_of_16_bits_keeps_its_colours_and_white_is_zero_is_inverted(tmp_path):
    (tmp_path / "colours.dcm").write_bytes(dicom(COLOURS))
    assert np.array_equal(np.rint(read_rgb(tmp_path / "colours.dcm") * 65535), COLOURS)
    (tmp_path / "negative.dcm").write_bytes(dicom(CORNER, photometric="MONOCHROME1"))
    assert np.argwhere(read_rgb(tmp_path / "negative.dcm")[..., 0] == 0).tolist() == [[1, 7]]


@pytest.mark.parametrize("channels", [3, 4])
def test_png_of_16_bits_keeps_its_colours(tmp_path, channels):
    (tmp_path / "a.png").write_bytes(deep_png(np.dstack([COLOURS, COLOURS])[..., :channels]))
    assert np.array_equal(np.rint(read_rgb(tmp_path / "a.png") * 65535), COLOURS)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("compress", ["none", "lzw", "deflate"])
def test_compressed_tiff_of_16_bits_keeps_its_colours(tmp_path, compress):
    kind = {"driver": "GTiff", "dtype": "uint16", "photometric": "RGB", "compress": compress}
    with rasterio.open(tmp_path / "a.tif", "w", height=5, width=9, count=3, **kind) as file:
        file.write(np.moveaxis(COLOURS, -1, 0))
    assert np.array_equal(np.rint(read_rgb(tmp_path / "a.tif") * 65535), COLOURS)


@pytest.mark.parametrize("ome", [False, True])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_any_page_of_a_stack_is_read_and_a_missing_one_refused(tmp_path, ome, compression):
    path = tmp_path / "stack.ome.tif"
    options = {"ome": ome, "metadata": {"axes": "ZYX"}, "photometric": "minisblack", "compression": compression}
    tifffile.imwrite(path, np.stack([CORNER, 255 - CORNER, CORNER // 5]), **options)
    assert [read_rgb(path, page=page)[1, 7, 0] for page in range(3)] == [1, 0, pytest.approx(0.2)]
    with pytest.raises(DataError, match=r"stack\.ome\.tif has no page 3: it has 3, counted from 0"):
        read_rgb(path, page=3)


def test_a_page_that_pillow_has_to_read_is_the_right_one(tmp_path):
    pages = [Image.fromarray(each) for each in (CORNER, 255 - CORNER)]
    pages[0].save(tmp_path / "a.tif", compression="tiff_lzw", save_all=True, append_images=pages[1:])
    assert read_rgb(tmp_path / "a.tif", page=1)[1, 7].tolist() == [0, 0, 0]


@pytest.mark.parametrize("suffix", [".png", ".nii.gz", ".dcm"])
def test_files_of_one_image_have_page_0_only(tmp_path, suffix):
    save(tmp_path / f"a{suffix}", CORNER)
    with pytest.raises(DataError, match=f"a{suffix} has no page 1: it has 1"):
        read_rgb(tmp_path / f"a{suffix}", page=1)


def tiff_size(tmp_path, *, page=0, **options):
    pixels = options.pop("pixels", CORNER)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", **options)
    return read_pixel_size_um(tmp_path / "a.tif", page=page)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"resolution": (20000, 10000), "resolutionunit": "CENTIMETER"}, (1, 0.5)),
        ({"resolution": (50800, 25400), "resolutionunit": "INCH"}, (1, 0.5)),
        ({"resolution": (2, 1), "imagej": True, "metadata": {"unit": "um"}}, (1, 0.5)),
        ({"resolution": (2, 1), "imagej": True, "metadata": {"unit": "\\u00B5m"}}, (1, 0.5)),
        ({"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 1}}, (1, 0.5)),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "YX",
                    "PhysicalSizeX": 500,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 0.001,
                    "PhysicalSizeYUnit": "mm",
                },
            },
            (1, 0.5),
        ),
    ],
)
def test_tiff_tells_the_height_and_width_of_a_pixel(tmp_path, options, size):
    assert tiff_size(tmp_path, **options) == pytest.approx(size)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"resolution": (20000, 10000), "resolutionunit": "NONE"},
        {"resolution": (72, 72), "resolutionunit": "INCH"},  # of a screen
        {"resolution": (300 / 2.54, 300 / 2.54), "resolutionunit": "CENTIMETER"},  # of a printer
        {"resolution": (2, 1), "imagej": True, "metadata": {"unit": "pixel"}},
        {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 0.5}},
        {"ome": True, "metadata": {"axes": "YX", "PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 1}},
    ],
)
def test_tiff_without_a_real_size_has_none(tmp_path, options):
    assert tiff_size(tmp_path, **options) is None


def test_the_size_of_a_turned_image_is_turned_with_it(tmp_path):
    options = {"resolution": (20000, 10000), "resolutionunit": "CENTIMETER"}
    assert tiff_size(tmp_path, **options, extratags=[(274, 3, 1, 6, True)]) == pytest.approx((0.5, 1))
    assert read_rgb(tmp_path / "a.tif").shape == (9, 5, 3)
    assert tiff_size(tmp_path, **options, extratags=[(274, 3, 1, 3, True)]) == pytest.approx((1, 0.5))


def test_nifti_and_dicom_tell_the_height_and_width_of_a_pixel(tmp_path):
    save_as_itk(tmp_path / "a.nii.gz", CORNER, spacing=[0.0005, 0.001])
    (tmp_path / "a.dcm").write_bytes(dicom(CORNER, spacing_mm=(0.001, 0.0005)))
    image = nibabel.Nifti1Image(CORNER.T, np.diag([0.5, 1, 1, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "b.nii")
    for name in ("a.nii.gz", "a.dcm", "b.nii"):
        assert read_pixel_size_um(tmp_path / name) == pytest.approx((1, 0.5))


def test_what_is_made_up_where_no_size_is_known_is_no_size(tmp_path):
    save_as_itk(tmp_path / "a.nii.gz", CORNER)  # ITK says 1 mm
    nibabel.save(nibabel.Nifti1Image(CORNER.T, np.diag([0.5, 1, 1, 1])), tmp_path / "b.nii")  # of no unit
    (tmp_path / "a.dcm").write_bytes(dicom(CORNER))
    (tmp_path / "b.dcm").write_bytes(dicom(CORNER, spacing_mm=(0, 0)))
    Image.fromarray(CORNER).save(tmp_path / "a.png", dpi=(9999, 9999))
    for path in sorted(tmp_path.iterdir()):
        assert read_pixel_size_um(path) is None, path.name
