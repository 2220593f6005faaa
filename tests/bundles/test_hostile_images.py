"""One inference run, by the command line, over a folder of images as people have them and worse."""

import csv
import os
import struct
import zlib

import nibabel
import numpy as np
import pytest
import tifffile
from bundle_runs import INFERENCE, run_bundle
from bundle_settings import UNET
from image_files import deep_png, dicom
from PIL import Image

HEIGHT, WIDTH = 48, 80
ROWS, COLUMNS = np.ogrid[:HEIGHT, :WIDTH]
DISC = (ROWS - 18) ** 2 + (COLUMNS - 60) ** 2 < 9**2  # asymmetric: at the upper right
DEEP = np.where(DISC, 60000, 2000).astype(np.uint16)
GREY = np.where(DISC, 235, 8).astype(np.uint8)
RGB = np.repeat(GREY[..., None], 3, axis=2)
LONG = "x" * 251 + ".png"

# Name of each file, and what becomes of it: the size of an image that is done, or a part of the reason why it is not.
WHOLE = (HEIGHT, WIDTH)
EXPECTED = {
    "deep.tif": WHOLE,
    "deep.png": WHOLE,
    "nan.tif": "not finite",
    "alpha.png": WHOLE,
    "palette.png": WHOLE,
    "cmyk.jpg": WHOLE,
    "one bit.png": WHOLE,
    "turned.jpg": WHOLE,
    "1x1.png": (1, 1),
    "1x300.png": (1, 300),
    "300x1.png": (300, 1),
    "pages.tif": WHOLE,
    "microns.ome.tif": WHOLE,
    "slice.nii.gz": WHOLE,
    "volume.nii": "is a volume",
    "scan.dcm": WHOLE,
    "frames.dcm": "holds 3 frames",
    "cut.png": "cut short",
    "empty.png": "is not an image",
    "text.png": "is not an image",
    "loop.png": "remove the link to it",
    "gone.png": "remove the link to it",
    "zero.png": "is not an image",
    "white is zero.tif": WHOLE,
    "Größe 細胞 1.png": WHOLE,
    "same.png": WHOLE,
    "same.tif": WHOLE,
    LONG: WHOLE,
}
LOOKS_LIKE_A_DISC = [name for name, outcome in EXPECTED.items() if outcome == WHOLE]


def make_files(folder):
    tifffile.imwrite(folder / "deep.tif", np.repeat(DEEP[..., None], 3, axis=2), photometric="rgb")
    (folder / "deep.png").write_bytes(deep_png(np.repeat(DEEP[..., None], 3, axis=2)))
    tifffile.imwrite(folder / "nan.tif", np.where(DISC, np.nan, 0).astype(np.float32))
    grey = Image.fromarray(GREY)
    Image.fromarray(np.dstack([RGB, np.full_like(GREY, 7)])).save(folder / "alpha.png")
    grey.convert("P").save(folder / "palette.png")
    Image.fromarray(RGB).convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    grey.convert("1", dither=Image.Dither.NONE).save(folder / "one bit.png")
    sideways = Image.Exif()
    sideways[0x0112] = 6  # to be shown turned by 90 degrees clockwise
    Image.fromarray(np.rot90(RGB)).save(folder / "turned.jpg", exif=sideways, quality=95)
    for height, width in ((1, 1), (1, 300), (300, 1)):
        Image.new("L", (width, height), 90).save(folder / f"{height}x{width}.png")
    tifffile.imwrite(folder / "pages.tif", np.stack([GREY, 0 * GREY]), photometric="minisblack")
    size = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}
    tifffile.imwrite(
        folder / "microns.ome.tif", np.stack([GREY, 0 * GREY]), ome=True, metadata=size, photometric="minisblack"
    )
    nibabel.save(nibabel.Nifti1Image(GREY.T, np.eye(4)), folder / "slice.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.stack([GREY.T] * 3, axis=-1), np.eye(4)), folder / "volume.nii")
    (folder / "scan.dcm").write_bytes(dicom(DEEP, spacing_mm=(0.001, 0.002)))
    (folder / "frames.dcm").write_bytes(dicom(np.stack([GREY] * 3), frames=3))
    noise = np.random.default_rng(0).integers(256, size=(HEIGHT, WIDTH), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "cut.png")
    (folder / "cut.png").write_bytes((folder / "cut.png").read_bytes()[:1500])
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no image")
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to(folder / "loop.png")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    header = b"IHDR" + struct.pack(">IIBBBBB", 0, 5, 8, 0, 0, 0, 0)
    data = (folder / "alpha.png").read_bytes()
    (folder / "zero.png").write_bytes(data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:])
    tifffile.imwrite(folder / "white is zero.tif", ~GREY, photometric="miniswhite")
    for name in ("Größe 細胞 1.png", "same.png", "same.tif", LONG):
        grey.save(folder / name)
    if os.geteuid() != 0:
        grey.save(folder / "forbidden.png")
        (folder / "forbidden.png").chmod(0)


def infer(dataset_dir, output_dir, **options):
    words = {"dataset_dir": dataset_dir, "output_dir": output_dir, "num_workers": 2, "device": "cpu", **options}
    options = [word for key, value in words.items() for word in (f"--{key}", value)]
    return run_bundle("inference", "--config_file", UNET / INFERENCE, *options)


def rows_of(file):
    with file.open(encoding="utf-8") as text:
        return list(csv.DictReader(text))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("hostile images"), tmp_path_factory.mktemp("out")
    make_files(folder)
    result = infer(folder, out)
    assert result.returncode == 1, result.stderr[-3000:]
    return folder, out, {row["image"]: row for row in rows_of(out / "summary.csv")}, result


def objects_in(out, row):
    return tifffile.imread(out / f"{row['id']}_instances.tif")


@pytest.mark.parametrize("name", EXPECTED, ids=lambda name: name[:20])
def test_each_file_is_done_at_its_size_or_reported_with_the_reason(run, name):
    folder, out, rows, result = run
    outcome, row = EXPECTED[name], rows[name]
    if isinstance(outcome, str):
        assert row["status"].startswith("error: ")
        assert outcome in row["status"]
        assert str(folder) not in row["status"]
        assert str(folder / name) in result.stdout + result.stderr
        assert not list(out.glob(f"{row['id']}_*"))
    else:
        assert row["status"] == "ok"
        assert objects_in(out, row).shape == (int(row["height"]), int(row["width"])) == outcome


def test_the_last_line_tells_how_many_images_failed_and_where_the_reasons_are(run):
    _, out, rows, result = run
    failed = [name for name, row in rows.items() if row["status"] != "ok"]
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {len(failed)} images could not be done, the others are; see {out}/summary.csv; the")
    assert "Traceback" not in last


@pytest.mark.parametrize("name", LOOKS_LIKE_A_DISC, ids=lambda name: name[:20])
def test_what_is_seen_is_found_at_its_place_whatever_the_format(run, name):
    _, out, rows, _ = run
    found = objects_in(out, rows[name]) > 0
    assert (found & DISC).sum() / (found | DISC).sum() > 0.6  # as far as the shipped network agrees with a disc


def test_folders_are_no_images_and_nothing_else_is_left_out(run):
    _, _, rows, _ = run
    assert rows.keys() - {"forbidden.png"} == EXPECTED.keys()
    assert len({row["id"] for row in rows.values()}) == len(rows)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_reported(run):
    assert "Permission denied" in run[2]["forbidden.png"]["status"]


@pytest.mark.parametrize(("name", "area_um2"), [("microns.ome.tif", 0.125), ("scan.dcm", 2), ("deep.tif", None)])
def test_areas_have_units_where_the_file_tells_the_size_of_a_pixel(run, name, area_um2):
    _, out, rows, _ = run
    table = rows_of(out / f"{rows[name]['id']}_objects.csv")
    assert table
    for row in table:
        if area_um2 is None:
            assert "area_um2" not in row
        else:
            assert float(row["area_um2"]) == pytest.approx(int(row["area_px"]) * area_um2, rel=1e-5)


def test_a_page_and_nifti_are_chosen_on_the_command_line(tmp_path):
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([0 * GREY, GREY]), photometric="minisblack")
    result = infer(tmp_path / "pages.tif", tmp_path / "out", page=1, output_format="nifti")
    assert result.returncode == 0, result.stderr[-3000:]
    found = np.asarray(nibabel.load(tmp_path / "out" / "pages_instances.nii.gz").dataobj).T > 0
    assert (found & DISC).sum() / (found | DISC).sum() > 0.6


def test_an_unknown_output_format_is_refused_with_those_known(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.png")
    result = infer(tmp_path, tmp_path / "out", output_format="nrrd")
    assert result.returncode != 0
    told = "error: --output_format nrrd: expected one of tiff, nifti, ome-zarr, ome-zarr-0.5"
    assert result.stderr.strip().splitlines()[-1] == told
    assert not (tmp_path / "out").exists()


def test_a_dicom_file_without_a_suffix_is_done_when_it_is_named_itself(tmp_path):
    (tmp_path / "IM000001").write_bytes(dicom(DEEP))
    result = infer(tmp_path / "IM000001", tmp_path / "out")
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tifffile.imread(tmp_path / "out" / "IM000001_instances.tif") > 0).any()
