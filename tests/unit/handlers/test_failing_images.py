"""An image that fails anywhere is reported, and the others are done; label maps in all formats."""

import csv
import json
import logging
import os

import itk
import nibabel
import numpy as np
import pytest
import tifffile
import torch
import zarr
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, CopyItemsd, LoadImaged
from PIL import Image

from medseg_ext.datasets.collate import collate_same_size
from medseg_ext.datasets.image_list import list_images
from medseg_ext.datasets.readable_images import ReadableImages
from medseg_ext.errors import DataError
from medseg_ext.handlers.failing_images import iterate_or_report
from medseg_ext.handlers.object_writer import ObjectWriter
from medseg_ext.objects.coco import COCO_FILE
from medseg_ext.objects.formats import FORMATS, ResultFormats
from medseg_ext.objects.label_map_files import LONGEST_NIFTI_SIDE, encode_label_nifti, encode_label_tiff
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_files import write_objects
from medseg_ext.objects.result_folder import ResultFolder
from medseg_ext.transforms.decoders import DecodeSemanticd
from medseg_ext.transforms.readers import RGBReader

NAMES = {"class_names": ["background", "nucleus"], "object_name": "nucleus"}
LABELS = np.zeros((5, 9), np.int32)
LABELS[1, 7], LABELS[3, 2:4] = 1, 2


class RefusesSquares(torch.nn.Module):
    """Logits of background, nucleus and centre distance; a network that cannot take square images."""

    def forward(self, image):
        if image.shape[2] == image.shape[3]:
            raise RuntimeError("no such operation,\nby way of example")
        grey = image.mean(dim=1, keepdim=True)
        return torch.cat([torch.zeros_like(grey), 20 * (grey - 0.5), torch.full_like(grey, -20)], dim=1)


def segment(folder, output_dir, *, transform=None, **options):
    load = [
        LoadImaged("image", reader=RGBReader(), ensure_channel_first=True),
        CopyItemsd("image", names="original_image"),
    ]
    dataset = ReadableImages(list_images(folder), Compose(load + ([transform] if transform else [])))
    SupervisedEvaluator(
        device="cpu",
        val_data_loader=DataLoader(dataset, batch_size=1, collate_fn=collate_same_size),
        network=RefusesSquares(),
        iteration_update=iterate_or_report,
        postprocessing=DecodeSemanticd(min_area_px=1),
        val_handlers=[ObjectWriter(ResultFolder(output_dir, images=dataset, **NAMES, **options))],
    ).run()
    return {row["image"]: row for row in summary_of(output_dir)}


def summary_of(output_dir):
    with (output_dir / "summary.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(np.uint8(LABELS > 0) * 255).save(folder / name)
    return folder


def test_an_image_that_the_network_cannot_take_is_reported_and_the_others_done(images, tmp_path, caplog):
    Image.new("L", (8, 8)).save(images / "b.png")
    with caplog.at_level(logging.ERROR):
        rows = segment(images, tmp_path / "out")
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.png": "ok",
        "b.png": "error: no such operation, by way of example",
        "c.png": "ok",
    }
    assert str(images / "b.png") in caplog.text
    assert rows["c.png"]["objects"] == "2"
    assert not list((tmp_path / "out").glob("b_*"))


def test_an_image_that_cannot_be_written_is_reported_and_the_others_done(images, tmp_path, caplog):
    (tmp_path / "out" / "b_classes.png").mkdir(parents=True)  # in the way of a file
    with caplog.at_level(logging.ERROR):
        rows = segment(images, tmp_path / "out")
    assert [row["status"] for row in rows.values()].count("ok") == 2
    assert "directory" in rows["b.png"]["status"].lower()
    assert str(images / "b.png") in caplog.text


def test_an_image_whose_preparation_fails_is_reported_and_the_others_done(images, tmp_path, caplog):
    def lose_b(item):
        if item["id"] == "b":
            raise OSError("the stick was pulled out")
        return item

    with caplog.at_level(logging.ERROR):
        rows = segment(images, tmp_path / "out", transform=lose_b)
    assert [row["status"] for row in rows.values()] == ["ok", "error: the stick was pulled out", "ok"]
    assert str(images / "b.png") in caplog.text


def test_a_run_without_one_image_done_ends_in_an_error_after_its_summary(images, tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (8, 8)).save(images / name)
    with pytest.raises(DataError, match=r"none of 3 images is done; the first: a\.png: error: no such operation"):
        segment(images, tmp_path / "out")
    assert len(summary_of(tmp_path / "out")) == 3


def test_label_maps_go_to_nifti_when_asked_and_only_to_what_is_known(images, tmp_path):
    segment(images, tmp_path / "out", output_format="nifti")
    expected = tmp_path / "out" / "a_instances.nii.gz"
    assert (np.asarray(nibabel.load(expected).dataobj).T > 0).tolist() == (LABELS > 0).tolist()
    assert not list((tmp_path / "out").glob("*.tif"))
    with pytest.raises(DataError, match=r"output_format must be one of tiff, nifti, ome-zarr, .*, got 'nrrd'"):
        segment(images, tmp_path / "out", output_format="nrrd")


def test_label_maps_that_are_folders_are_replaced_as_wholes_and_go_where_an_image_fails(images, tmp_path):
    for output_format, version in {"ome-zarr": 2, "ome-zarr-0.5": 3}.items():
        segment(images, tmp_path / "out", output_format=output_format)
        group = zarr.open_group(str(tmp_path / "out" / "b_instances.ome.zarr"), mode="r")
        assert group.metadata.zarr_format == version
        assert ((group["0"][:] > 0) == (LABELS > 0)).all()
    Image.new("L", (8, 8)).save(images / "b.png")
    segment(images, tmp_path / "out", output_format="ome-zarr")
    kept = {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()}
    assert kept == {"a_instances.ome.zarr", "c_instances.ome.zarr"}
    (images / "c.png").unlink()
    segment(images, tmp_path / "out", output_format="ome-zarr", overwrite=True)
    assert [path.name for path in (tmp_path / "out").iterdir() if path.is_dir()] == ["a_instances.ome.zarr"]


def test_labels_in_images_are_asked_of_images_only_that_are_to_be_done(images, tmp_path):
    listed = ReadableImages(list_images(images))
    options = {"images": listed, "output_format": "ome-zarr", "labels_in_image": True}
    results = ResultFolder(tmp_path / "out", **NAMES, **options)
    with pytest.raises(DataError, match=r"a\.png is no OME-Zarr"):
        results.check()
    results.take_over([{"id": item["id"], "status": "ok"} for item in listed.data])
    results.check()
    with pytest.raises(DataError, match=r"labels_in_image wants --output_format ome-zarr or .*, not tiff"):
        ResultFolder(tmp_path / "out", **NAMES, **options | {"output_format": "tiff"})


def coco_images(output_dir):
    content = json.loads((output_dir / COCO_FILE).read_text())
    assert {each["image_id"] for each in content["annotations"]} == {each["id"] for each in content["images"]}
    return [each["file_name"] for each in content["images"]]


def test_coco_has_the_images_that_are_done_and_an_image_that_fails_keeps_no_file_of_a_run_before(images, tmp_path):
    segment(images, tmp_path / "out", formats=FORMATS)
    assert coco_images(tmp_path / "out") == ["a.png", "b.png", "c.png"]
    assert (tmp_path / "out" / "b_rois.zip").is_file()
    Image.new("L", (8, 8)).save(images / "b.png")
    segment(images, tmp_path / "out", formats=FORMATS)
    assert coco_images(tmp_path / "out") == ["a.png", "c.png"]
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(("b_", ".b_"))]


def test_coco_of_an_earlier_run_goes_and_that_of_somebody_else_stays(images, tmp_path):
    segment(images, tmp_path / "out", formats=["coco"])
    segment(images, tmp_path / "out", formats=[])
    assert not [path for path in (tmp_path / "out").iterdir() if "coco" in path.name]
    (tmp_path / "out" / COCO_FILE).write_text('{"images": []}')
    segment(images, tmp_path / "out", formats=[])
    with pytest.raises(DataError, match=r"coco\.json is there already, and is not of an earlier run: move it away"):
        segment(images, tmp_path / "out", formats=["coco"])
    assert (tmp_path / "out" / COCO_FILE).read_text() == '{"images": []}'


def test_files_of_formats_that_are_not_written_are_not_left_to_mislead(images, tmp_path):
    segment(images, tmp_path / "out", formats=["roi"])
    with pytest.raises(DataError, match=r"a_rois\.zip is there already, .*tiff, csv.*: move it away"):
        segment(images, tmp_path / "out", formats=["csv"])
    assert (tmp_path / "out" / "a_rois.zip").is_file()


@pytest.mark.parametrize(
    ("output_format", "theirs"),
    [
        ("tiff", "a_instances.nii.gz"),
        ("nifti", "a_instances.tif"),
        ("tiff", "a_instances.ome.zarr"),
        ("ome-zarr", "a_instances.tif"),
    ],
)
def test_a_label_map_in_another_format_is_neither_removed_nor_left_to_mislead(images, tmp_path, output_format, theirs):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / theirs).write_bytes(b"of an expert")
    with pytest.raises(DataError, match=f"{theirs} is there already, .*: move it away, or give another output_dir"):
        segment(images, tmp_path / "out", output_format=output_format)
    assert (tmp_path / "out" / theirs).read_bytes() == b"of an expert"
    assert [path.name for path in (tmp_path / "out").iterdir()] == [theirs]


def test_a_label_map_in_another_format_may_be_a_link_that_leads_nowhere(images, tmp_path):
    (tmp_path / "out").mkdir()
    name = f"{min(images.iterdir()).stem}_instances.nii.gz"
    (tmp_path / "out" / name).symlink_to(tmp_path / "unmounted")
    with pytest.raises(DataError, match=f"{name} is there already"):
        segment(images, tmp_path / "out")


@pytest.mark.parametrize("suffix", [".png", ".nii.gz", ".dcm", ".tif"])
def test_a_damaged_image_whose_name_is_no_text_is_reported_and_the_others_done(images, tmp_path, suffix):
    (images / os.fsdecode(b"d\xff" + suffix.encode())).write_bytes(b"no image")
    rows = segment(images, tmp_path / "out")
    assert len(rows) == 4
    assert rows[f"d\ufffd{suffix}"]["status"].startswith("error: ")
    assert [row["status"] for row in rows.values()].count("ok") == 3


@pytest.mark.parametrize("shape", [(5, 9), (1, 30), (30, 1), (1, 1)])
@pytest.mark.parametrize("top", [2, 65536])
def test_nifti_has_the_same_rows_and_columns_for_itk_and_for_nibabel(tmp_path, shape, top):
    labels = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    labels[-1, -1] = top
    path = tmp_path / "labels.nii.gz"
    path.write_bytes(encode_label_nifti(labels, (0.5, 0.25)))
    image = itk.imread(str(path))
    assert np.array_equal(itk.array_from_image(image), labels)
    assert np.array_equal(np.asarray(nibabel.load(path).dataobj).T, labels)
    assert list(image.GetSpacing()) == pytest.approx([0.00025, 0.0005])  # x, y in mm
    assert np.array_equal(itk.array_from_matrix(image.GetDirection()), np.eye(2))
    assert nibabel.load(path).get_data_dtype() == (np.uint16 if top == 2 else np.uint32)


def test_what_nifti_cannot_hold_is_refused_with_the_remedy():
    with pytest.raises(DataError, match="use --output_format tiff"):
        encode_label_nifti(np.zeros((1, LONGEST_NIFTI_SIDE + 1), np.int32))


def write(folder, **options):
    objects = Objects(
        torch.as_tensor(LABELS)[None], torch.as_tensor(LABELS > 0, dtype=torch.uint8)[None], torch.ones(2)
    )
    write_objects(folder, "a", objects, np.zeros((5, 9, 3)), **NAMES, **options)
    return list(csv.DictReader((folder / "a_objects.csv").open()))


def test_a_known_pixel_size_goes_to_the_table_and_the_label_map(tmp_path):
    rows = write(tmp_path, pixel_size_um=(0.5, 0.25))
    assert [(row["area_px"], float(row["area_um2"])) for row in rows] == [("1", 0.125), ("2", 0.25)]
    with tifffile.TiffFile(tmp_path / "a_instances.tif") as tiff:
        assert tiff.pages.first.get_resolution("MICROMETER") == pytest.approx((4, 2))  # pixels, x and y


def test_nothing_is_invented_where_the_pixel_size_is_unknown(tmp_path):
    assert "area_um2" not in write(tmp_path)[0]
    with tifffile.TiffFile(tmp_path / "a_instances.tif") as tiff:
        assert tiff.pages.first.tags.valueof("ResolutionUnit") == 1  # none
    write(tmp_path, formats=ResultFormats("nifti"))
    assert nibabel.load(tmp_path / "a_instances.nii.gz").header.get_xyzt_units()[0] == "unknown"


@pytest.mark.parametrize("encode", [encode_label_tiff, encode_label_nifti])
def test_label_maps_are_the_same_bytes_every_time(encode):
    assert encode(LABELS, (0.3, 0.3)) == encode(LABELS, (0.3, 0.3))


def test_readable_files_of_several_pages_are_counted_and_told(images, caplog):
    tifffile.imwrite(images / "stack.tif", np.zeros((2, 5, 9), np.uint8), photometric="minisblack")
    tifffile.imwrite(images / "large.tif", np.zeros((3, 50, 90), np.uint8), photometric="minisblack")
    (images / "broken.tif").write_bytes((images / "stack.tif").read_bytes()[:100])
    dataset = ReadableImages(list_images(images), large_image_px=1000)
    assert dataset.remarks == {
        "stack": ["of 2 pages page 0 was taken, counted from 0; --page chooses another"],
        "large": ["of 3 pages page 0 was taken, counted from 0; --page chooses another"],
    }
    assert f"{images / 'stack.tif'}: of 2 pages page 0 was taken" in caplog.text


@pytest.mark.parametrize("page", [-1, 1.5, "two", True])
def test_numbers_that_are_no_page_are_refused(images, page):
    with pytest.raises(DataError, match="page must be a number from 0"):
        ReadableImages(list_images(images), page=page)


@pytest.mark.parametrize("channel", [-1, 1.5, "", True])
def test_what_is_neither_number_nor_name_is_no_channel(images, channel):
    with pytest.raises(DataError, match="channel must be a number from 0, the first channel, or a name"):
        ReadableImages(list_images(images), channel=channel)
