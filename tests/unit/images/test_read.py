from contextlib import nullcontext

import nibabel
import numpy as np
import pytest
import tifffile
from monai.transforms import LoadImaged
from PIL import Image
from rights import as_nobody

from medseg_ext.errors import DataError
from medseg_ext.images.blocks import open_block_image, pixel_io
from medseg_ext.images.boxes import Box
from medseg_ext.images.eight_bit import read_rgb_8_bit as prepare_rgb
from medseg_ext.images.formats import read_header
from medseg_ext.images.png import encode_png
from medseg_ext.images.read import read_labels, read_rgb
from medseg_ext.transforms.contrast import StretchContrastd
from medseg_ext.transforms.readers import LabelReader, RGBReader

HEIGHT, WIDTH = 5, 9


@pytest.fixture
def corner() -> np.ndarray:
    """An asymmetric image: only the pixel in row 1, column 7 is bright."""
    image = np.zeros((HEIGHT, WIDTH), np.uint8)
    image[1, 7] = 255
    return image


def test_rows_stay_rows_through_monai_s_loader(tmp_path, corner):
    path = tmp_path / "corner.png"
    Image.fromarray(corner).save(path)
    image = LoadImaged(keys="image", reader=RGBReader(), ensure_channel_first=True)({"image": str(path)})["image"]
    assert image.shape == (3, HEIGHT, WIDTH)
    assert image[:, 1, 7].tolist() == [1, 1, 1]
    assert image.sum() == 3
    assert image.meta["spatial_shape"].tolist() == [HEIGHT, WIDTH]
    assert image.meta["filename_or_obj"] == str(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA"])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_colour_mode_becomes_rgb(tmp_path, corner, mode, suffix):
    path = tmp_path / f"corner{suffix}"
    Image.fromarray(corner).convert(mode).save(path)
    image = read_rgb(path)
    assert image.shape == (HEIGHT, WIDTH, 3)
    assert image.dtype == np.float32
    assert image[1, 7].tolist() == [1, 1, 1]
    assert image.sum() == 3


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_keep_their_precision(tmp_path, suffix):
    values = np.array([[0, 1, 256, 65535]], np.uint16)
    path = tmp_path / f"deep{suffix}"
    Image.fromarray(values).save(path)
    np.testing.assert_allclose(read_rgb(path)[0, :, 0], values[0] / 65535, rtol=1e-6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("kind", "scales"),
    [(np.float64, (1e-320, 1e-300, 1e-20, 1e-6, 1, 1e39, 1.5e308)), (np.float32, (1e-42, 1e-38, 1, 1e38, 3e38))],
)
@pytest.mark.parametrize("low", [0, 0.25, -0.5, -1])
def test_an_image_of_any_range_of_floats_is_seen(tmp_path, kind, scales, low):
    shades = np.linspace(0, 1, 60).reshape(6, 10)
    for scale in scales:
        tifffile.imwrite(tmp_path / "a.tif", ((low + (1 - low) * shades) * scale).astype(kind))
        whole = read_rgb(tmp_path / "a.tif")
        with pixel_io():
            blocks = open_block_image(tmp_path / "a.tif").read(Box(0, 0, 6, 10))
        assert np.array_equal(whole, blocks)
        stretched = (whole[..., 0] - whole.min()) / np.ptp(whole)
        np.testing.assert_allclose(stretched, shades, atol=2e-3, err_msg=f"{scale:g}")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("value", "shade"), [(0, 0), (0.5, 0.5), (1, 1), (7, 0), (-3, 0), (1e-40, 0), (1e300, 0)])
def test_one_value_alone_is_even_without_warnings(tmp_path, value, shade):
    tifffile.imwrite(tmp_path / "a.tif", np.full((20, 30), value, np.float64))
    image = read_rgb(tmp_path / "a.tif")
    assert (image == shade).all()
    assert np.ptp(StretchContrastd("image")({"image": np.moveaxis(image, -1, 0)})["image"]) == 0


def test_floats_in_the_unit_range_are_kept_and_others_stretched(tmp_path):
    tifffile.imwrite(tmp_path / "unit.tif", np.array([[0.25, 0.5]], np.float32))
    tifffile.imwrite(tmp_path / "wide.tif", np.array([[-100.0, 0.0, 300.0]], np.float32))
    assert read_rgb(tmp_path / "unit.tif")[0, :, 0].tolist() == [0.25, 0.5]
    assert read_rgb(tmp_path / "wide.tif")[0, :, 0].tolist() == [0, 0.25, 1]


def test_the_exif_orientation_is_applied(tmp_path, corner):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to the right
    path = tmp_path / "turned.png"
    Image.fromarray(corner).save(path, exif=exif)
    image = read_rgb(path)
    assert image.shape == (WIDTH, HEIGHT, 3)
    assert image[7, HEIGHT - 1 - 1].tolist() == [1, 1, 1]


def test_of_a_stack_the_first_page_is_read(tmp_path, corner):
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.stack([corner, 255 - corner]), photometric="minisblack")
    assert read_rgb(path).sum() == 3


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".bmp"])
def test_a_file_cut_short_is_refused_by_name(tmp_path, suffix):
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"cut{suffix}.*save it again"):
        read_rgb(cut)


@pytest.mark.parametrize("name", ["grey.png", "rgb.png", "rgb.jpg", "grey.nii.gz"])
def test_a_file_whose_rest_was_never_written_is_refused(tmp_path, name):
    """As of a download, or a crash, that had reserved the space."""
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    pixels = pixels[..., 0] if name.startswith("grey") else pixels
    if name.endswith(".gz"):
        nibabel.save(nibabel.Nifti1Image(pixels, None), tmp_path / name)
    else:
        Image.fromarray(pixels).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2].ljust(len(whole), b"\0"))
    with pytest.raises(DataError, match=name):
        read_rgb(tmp_path / name)


def test_every_byte_of_a_gzipped_nifti_counts(tmp_path):
    """Its checksum is at the end, after the pixels."""
    path = tmp_path / "grey.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((64, 64), np.uint8), None), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    with pytest.raises(DataError, match="damaged"):
        read_rgb(path)


def test_values_that_are_not_finite_are_refused_by_name(tmp_path):
    tifffile.imwrite(tmp_path / "holes.tif", np.array([[np.nan, 1.0]], np.float32))
    with pytest.raises(ValueError, match=r"holes\.tif"):
        read_rgb(tmp_path / "holes.tif")


@pytest.mark.parametrize("compression", ["tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff_is_read_alike_for_preparation_and_inference(tmp_path, compression):
    ramp = np.linspace(0, 255, 40 * 50).reshape(40, 50)
    pixels = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1).astype(np.uint8)
    path = tmp_path / "image.tif"
    Image.fromarray(pixels).save(path, compression=compression)
    prepared = prepare_rgb(path.read_bytes(), path.name)
    assert np.array_equal(np.rint(read_rgb(path) * 255), prepared)
    np.testing.assert_allclose(prepared.astype(int), pixels, atol=24 if compression == "jpeg" else 0)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_turned_image_has_one_shape_for_preparation_and_inference(tmp_path, corner, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"turned{suffix}"
    Image.fromarray(corner).save(path, exif=exif)
    assert prepare_rgb(path.read_bytes(), path.name).shape == read_rgb(path).shape == (WIDTH, HEIGHT, 3)


def test_what_is_no_image_is_refused_by_name(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match=r"text\.png"):
        read_rgb(tmp_path / "text.png")


@pytest.mark.parametrize("read", [read_rgb, read_labels, read_header, open_block_image])
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "nii", "nii.gz", "dcm", "1"])
@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("missing", r"\(No such file or directory\): bring it back$"),
        ("dead link", r"\(No such file or directory\): bring it back, or remove the link to it$"),
        ("loop", r"\(.*symbolic links.*\): bring it back, or remove the link to it$"),
        ("without rights", r"\(Permission denied\): get the right to read it"),
    ],
)
def test_what_the_system_does_not_let_be_read_is_told_in_one_line_with_the_remedy(
    tmp_path, state, reason, suffix, read
):
    path = tmp_path / f"a.{suffix}"
    if state == "without rights":
        path.touch(mode=0)
    elif state != "missing":
        path.symlink_to(path if state == "loop" else tmp_path / "nowhere")
    with as_nobody() if state == "without rights" else nullcontext(), pytest.raises(DataError, match=reason) as error:
        read(path)
    assert str(error.value).startswith(f"{path} cannot be read (")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_label_maps_keep_every_id_and_their_rows(tmp_path, dtype):
    labels = np.arange(256 * 2, dtype=np.uint16).reshape(4, 128) * 128 if dtype == np.uint16 else np.arange(256)
    labels = np.append(labels.ravel()[:-1], np.iinfo(dtype).max).reshape(4, -1).astype(dtype)
    path = tmp_path / "labels.png"
    path.write_bytes(encode_png(labels))
    image = LoadImaged(keys="label", reader=LabelReader(), ensure_channel_first=True)({"label": str(path)})["label"]
    assert image.shape == (1, *labels.shape)
    assert np.array_equal(image[0].numpy(), labels)


def test_a_label_map_cut_short_is_refused_by_name(tmp_path):
    path = tmp_path / "labels.png"
    data = encode_png(np.random.default_rng(0).integers(0, 999, (40, 50)).astype(np.uint16))
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"labels\.png .* cut short"):
        LoadImaged(keys="label", reader=LabelReader())({"label": str(path)})


def test_colour_images_and_floats_are_no_label_maps(tmp_path):
    tifffile.imwrite(tmp_path / "floats.tif", np.ones((4, 5), np.float32))
    tifffile.imwrite(tmp_path / "colour.tif", np.ones((4, 5, 3), np.uint8), photometric="rgb")
    for name in ("floats.tif", "colour.tif"):
        with pytest.raises(DataError, match=f"{name} is no label map"):
            LabelReader().get_data(str(tmp_path / name))
