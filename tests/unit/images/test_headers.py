"""Headers tell sizes and what is refused, in the words of whoever reads the pixels, and are all that is read."""

import re

import nibabel
import numpy as np
import pytest
import tifffile
from image_files import deep_png, dicom
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.images import raster
from medseg_ext.images.formats import read_header
from medseg_ext.images.read import read_rgb

GREY = np.random.default_rng(0).integers(256, size=(50, 70), dtype=np.uint8)
RGB = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def save_images(folder):
    """Save images of every format; returns their paths."""
    Image.fromarray(GREY).save(folder / "grey.png")
    Image.fromarray(RGB).save(folder / "rgb.bmp")
    Image.fromarray(RGB).save(folder / "rgb.jpg")
    Image.fromarray(RGB).convert("CMYK").save(folder / "cmyk.jpg")
    Image.fromarray(GREY).convert("P").save(folder / "palette.png")
    Image.fromarray(np.dstack([GREY, GREY]), "LA").save(folder / "grey_alpha.png")
    Image.fromarray(GREY.astype(np.uint16)).save(folder / "grey16.png")
    (folder / "rgb16.png").write_bytes(deep_png(RGB.astype(np.uint16)))
    tifffile.imwrite(folder / "grey.tif", GREY)
    tifffile.imwrite(folder / "rgb.tif", RGB, photometric="rgb")
    nibabel.save(nibabel.Nifti1Image(GREY.T, None), folder / "grey.nii.gz")
    nibabel.save(nibabel.Nifti1Image(RGB.swapaxes(0, 1)[:, :, None, None], None), folder / "vector.nii")
    (folder / "grey.dcm").write_bytes(dicom(GREY))
    (folder / "rgb.dcm").write_bytes(dicom(RGB))
    return sorted(folder.iterdir())


def refusal(read, *arguments, **options):
    """Give the words by which a file is refused; None where it is not."""
    try:
        read(*arguments, **options)
    except (DataError, OSError) as error:
        return str(error)
    return None


def test_every_format_tells_its_size(tmp_path):
    for path in save_images(tmp_path):
        assert read_header(path).size == read_rgb(path).shape[:2] == (50, 70), path.name


@pytest.mark.parametrize(("name", "options"), [("animated.png", {}), ("several.png", {"format": "GIF"})])
def test_further_pictures_are_told(tmp_path, name, options):
    first, second = Image.fromarray(GREY), Image.fromarray(GREY[::-1])
    first.save(tmp_path / name, save_all=True, append_images=[second], **options)
    ((text, _),) = read_header(tmp_path / name).left_out
    assert text == "of 2 pictures the first was taken"
    assert (read_rgb(tmp_path / name)[..., 0] * 255 == GREY).mean() > 0.99


def test_a_tiff_without_its_directory_is_cut_short(tmp_path):
    """Libtiff writes it at the end."""
    path = tmp_path / "cut.tif"
    Image.fromarray(RGB).save(path, compression="tiff_lzw")
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(DataError, match="cut short"):
        read_header(path)


@pytest.mark.parametrize(
    "choice",
    [{"channel": 0}, {"channel": 1}, {"channel": 2}, {"channel": 3}, {"channel": "DAPI"}, {"page": 1}],
    ids=str,
)
def test_a_missing_page_or_channel_is_refused_in_the_words_of_the_decoder(tmp_path, choice):
    words = {path.name: refusal(read_header, path, **choice) for path in save_images(tmp_path)}
    assert words == {path.name: refusal(read_rgb, path, **choice) for path in tmp_path.iterdir()}
    assert any(words.values()) == (choice != {"channel": 0})


def save_refused(folder):
    """Save files whose headers tell that they cannot be read."""
    (folder / "text.png").write_text("no image")
    (folder / "empty.tif").touch()
    (folder / "text.nii").write_text("no image")
    (folder / "text.dcm").write_text("no image")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "loop.tif").symlink_to(folder / "loop.tif")
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 5, 3), np.uint8), None), folder / "volume.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 5, 1, 1, 6), np.uint8), None), folder / "six.nii.gz")
    (folder / "frames.dcm").write_bytes(dicom(np.zeros((3, 5, 9), np.uint8), frames=3))
    tifffile.imwrite(folder / "five.tif", np.dstack([RGB, RGB[..., :2]]), photometric="rgb", extrasamples=[0, 0])
    whole = folder / "whole.tif"
    tifffile.imwrite(whole, GREY, metadata=None)
    (folder / "cut.tif").write_bytes(whole.read_bytes()[:-100])
    whole.unlink()
    return sorted(folder.iterdir())


def test_what_a_header_refuses_is_refused_in_the_words_of_the_decoder(tmp_path):
    for path in save_refused(tmp_path):
        words = refusal(read_header, path)
        assert words, path.name
        assert words == refusal(read_rgb, path)


def test_an_image_that_claims_too_many_pixels_is_refused_by_its_header(tmp_path, monkeypatch):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    monkeypatch.setattr(raster, "MAX_PIXELS", GREY.size - 1)
    with pytest.raises(DataError, match=re.escape("a.png claims 70 x 50 pixels: cut it")):
        read_header(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".nii.gz"])
def test_damaged_pixels_are_not_looked_at(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(path, GREY, compression="zlib")
    elif suffix == ".nii.gz":
        nibabel.save(nibabel.Nifti1Image(GREY.T, None), path)
    else:
        Image.fromarray(GREY).save(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data if suffix in (".png", ".tif") else data[:middle])
    assert read_header(path).size == (50, 70)
    with pytest.raises(DataError, match=re.escape(path.name)):
        read_rgb(path)
