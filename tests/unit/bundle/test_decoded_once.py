"""Each image of a segmentation is decoded once, and by nobody else than what feeds the network."""

from collections import Counter

import nibabel
import numpy as np
import pytest
import tifffile
from bundle_settings import QUICK, ROOT
from image_files import dicom
from PIL import Image

from medseg_ext.bundle import segmentation
from medseg_ext.images import raster, read
from medseg_ext.images.tiff import TiffImage

BUNDLE = ROOT / "bundles" / "dsb2018_unet"
OPTIONS = QUICK | {"num_workers": 0}  # where decoding can be watched
ROWS, COLUMNS = np.ogrid[:96, :128]
DISC = ((ROWS - 40) ** 2 + (COLUMNS - 60) ** 2 < 15**2).astype(np.uint8) * 180 + 20


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files whose pixels are decoded, wherever that happens, each with what was going on then."""
    files, going_on = [], ["segmentation"]

    def watch(owner, name, file_of):
        original = getattr(owner, name)

        def decode(*arguments, **options):
            files.append((file_of(*arguments).rpartition("/")[2], going_on[-1]))
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, decode)

    watch(raster, "_decode_with_pillow", lambda data, where: where)
    watch(TiffImage, "read", lambda image, box: image._where)
    watch(read, "decode_nifti", lambda where: where)
    watch(read, "decode_dicom", lambda where: where)
    write_gallery = segmentation.write_gallery

    def write(*arguments, **options):
        going_on.append("gallery")
        return write_gallery(*arguments, **options)

    monkeypatch.setattr(segmentation, "write_gallery", write)
    return files


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(DISC).save(folder / "a.png")
    Image.fromarray(DISC).save(folder / "b.jpg")
    tifffile.imwrite(folder / "c.tif", DISC, tile=(32, 32))
    nibabel.save(nibabel.Nifti1Image(DISC.T, None), folder / "d.nii.gz")
    (folder / "e.dcm").write_bytes(dicom(DISC))
    return folder


def test_an_image_of_any_format_is_decoded_once(images, tmp_path, decoded):
    (images / "cut.png").write_bytes((images / "a.png").read_bytes()[:200])
    done = segmentation.segment([images], BUNDLE, tmp_path / "out", overrides=OPTIONS)
    assert {row["image"]: row["status"][:5] for row in done.rows} == {
        "a.png": "ok", "b.jpg": "ok", "c.tif": "ok", "cut.png": "error", "d.nii.gz": "ok", "e.dcm": "ok",
    }  # fmt: skip
    assert Counter(decoded) == {(path.name, "segmentation"): 1 for path in images.iterdir()}
    assert done.gallery is not None
    assert done.gallery.read_text().count('<img class="overlay" src="data:image/jpeg') == 5


def test_the_gallery_of_large_images_decodes_none(images, tmp_path, decoded):
    tiles = {"large_image_px": 1000, "tile_size": 64, "tile_margin": 32}
    done = segmentation.segment([images], BUNDLE, tmp_path / "out", overrides=OPTIONS | tiles)
    assert {row["status"] for row in done.rows} == {"ok"}
    assert {file for file, _ in decoded} == {path.name for path in images.iterdir()}
    assert {going_on for _, going_on in decoded} == {"segmentation"}
    assert done.gallery is not None
    assert done.gallery.read_text().count('<img class="overlay" src="data:image/jpeg') == 5
