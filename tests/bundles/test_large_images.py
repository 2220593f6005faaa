"""An image in tiles gives what it gives as a whole."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bundle_settings import QUICK, TWINS_ARE_SLOW
from monai.bundle import ConfigWorkflow
from PIL import Image
from shapely import union_all
from shapely.geometry import shape

from medseg_ext.bundle.segmentation import segment
from medseg_ext.folder_lock import LOCK_FILE
from medseg_ext.images.result_names import DONE_FILE
from medseg_ext.tiling import large_result_files as outputs

TILES = {"large_image_px": 1000, "tile_size": 250, "tile_margin": 160}  # four tiles


@pytest.fixture(params=TWINS_ARE_SLOW, ids=lambda path: path.name)
def bundle(request):
    """Folder of a bundle; those of Mask R-CNN where Detectron2 is installed."""
    if request.param.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    return request.param


def by_tiles_at_its_own_scale(bundle: Path) -> dict[str, float]:
    """Give the options by which the network sees an image at its own scale, and a semantic one by small tiles."""
    config = json.loads((bundle / "configs/inference.json").read_text())
    options = {"object_diameter_px": config["working_diameter_px"]}
    if "whole_image_px" in config:
        options["whole_image_px"] = (2 * config["image_inferer"]["margin_px"] + 64) ** 2
    return options


def infer(bundle: Path, images: Path, output_dir: Path, **override: object) -> None:
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs/inference.json"),
        workflow_type="infer",
        bundle_root=str(bundle),
        logging_file=False,
        **QUICK | by_tiles_at_its_own_scale(bundle) | override,
        dataset_dir=str(images),
        output_dir=str(output_dir),
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()


@pytest.fixture(scope="session")
def mosaics(sample_data_sets, tmp_path_factory) -> dict[str, Path]:
    """For each data set a folder with one image, of mirrored ones of the sample, as a TIFF in blocks."""
    folders = {}
    for name, dataset_dir in sample_data_sets.items():
        folders[name] = tmp_path_factory.mktemp(name)
        image = np.asarray(Image.open(min((dataset_dir / "images").iterdir())).convert("RGB"))
        row = np.concatenate([image, image[:, ::-1], image], axis=1)
        mosaic = np.concatenate([row, row[::-1], row])[:500, :420]
        tifffile.imwrite(folders[name] / "mosaic.tif", mosaic, photometric="rgb", tile=(64, 64))
    return folders


def best_overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Best IoU of each object of `one` with any of `other`."""
    counts = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(counts, (one.ravel(), other.ravel()), 1)
    unions = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    return (counts / unions)[1:, 1:].max(axis=1, initial=0)


def test_tiles_give_the_objects_of_the_whole_image(bundle, mosaics, tmp_path):
    images = mosaics[bundle.name.partition("_")[0]]
    as_the_network_scores = {"score_temperature": 1.0, "score_bias": 0.0}
    infer(bundle, images, tmp_path / "whole", **as_the_network_scores)
    infer(bundle, images, tmp_path / "tiles", **TILES | as_the_network_scores)
    whole, tiles = (tifffile.imread(tmp_path / name / "mosaic_instances.tif") for name in ("whole", "tiles"))
    assert tiles.shape == whole.shape == (500, 420)
    border = 256  # of the first tiles
    borders = (whole[border - 1 : border + 1], whole[:, border - 1 : border + 1].T)
    assert any((above[above > 0] == below[above > 0]).any() for above, below in borders), "no object lies on a border"
    kept, new = best_overlaps(whole, tiles), best_overlaps(tiles, whole)
    if bundle.name.endswith("mask_rcnn"):  # what it sees of an object depends a little on all that is around
        # and an object that it is half sure of can be one that it is too unsure of.
        for name, overlaps in (("whole", kept), ("tiles", new)):
            rows = csv.DictReader((tmp_path / name / "mosaic_objects.csv").open())
            is_sure = np.array([float(row["score"]) for row in rows]) > 0.85
            assert is_sure.sum() > 3
            assert np.mean(overlaps[is_sure] > 0.5) > 0.95
    else:
        assert (kept == 1).all()
        assert (new == 1).all()
        classes = [np.asarray(Image.open(tmp_path / name / "mosaic_classes.png")) for name in ("whole", "tiles")]
        np.testing.assert_array_equal(*classes)


def test_all_files_of_a_large_image_agree(a_bundle, mosaics, tmp_path):
    infer(a_bundle, mosaics[a_bundle.name.partition("_")[0]], tmp_path, **TILES)
    instances = tifffile.imread(tmp_path / "mosaic_instances.tif")
    classes = np.asarray(Image.open(tmp_path / "mosaic_classes.png"))
    assert Image.open(tmp_path / "mosaic_overlay.png").size == (420, 500)
    assert ((classes > 0) == (instances > 0)).all()
    rows = list(csv.DictReader((tmp_path / "mosaic_objects.csv").open()))
    assert [int(row["id"]) for row in rows] == list(range(1, instances.max() + 1))
    assert [int(row["area_px"]) for row in rows] == np.bincount(instances.ravel())[1:].tolist()
    features = json.loads((tmp_path / "mosaic_objects.geojson").read_text())["features"]
    assert len(features) == len(rows)
    for feature in features:
        number = int(feature["properties"]["name"])
        outline, row = shape(feature["geometry"]), rows[number - 1]
        assert outline.area == int(row["area_px"])
        assert outline.bounds == tuple(float(row[f"bbox_{side}"]) for side in ("left", "top", "right", "bottom"))
        assert outline.centroid.x - 0.5 == pytest.approx(float(row["centroid_column"]), abs=0.01)
        assert outline.centroid.y - 0.5 == pytest.approx(float(row["centroid_row"]), abs=0.01)
    assert union_all([shape(feature["geometry"]) for feature in features]).area == (instances > 0).sum()
    (summary,) = csv.DictReader((tmp_path / "summary.csv").open())
    assert (summary["status"], int(summary["objects"]), summary["height"], summary["width"]) == (
        "ok", len(rows), "500", "420",
    )  # fmt: skip


def test_large_and_small_images_share_a_run_and_a_damaged_one_does_not_end_it(mosaics, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    large = (mosaics["dsb2018"] / "mosaic.tif").read_bytes()
    (images / "large.tif").write_bytes(large)
    (images / "cut.tif").write_bytes(large[: len(large) // 2])
    Image.fromarray(np.full((60, 70, 3), 7, dtype=np.uint8)).save(images / "small.png")
    bundle = Path(__file__).parents[2] / "bundles/dsb2018_unet"
    infer(bundle, images, tmp_path / "out", **TILES | {"large_image_px": 60 * 70})
    rows = {row["image"]: row for row in csv.DictReader((tmp_path / "out/summary.csv").open())}
    assert rows["cut.tif"]["status"].startswith("error: ")
    assert "cut short" in rows["cut.tif"]["status"]
    assert rows["large.tif"]["status"] == rows["small.png"]["status"] == "ok"
    assert [path.name for path in (tmp_path / "out").glob(".*")] == [DONE_FILE]  # nothing half-written stays


def test_the_gallery_shows_large_images(mosaics, tmp_path):
    bundle = Path(__file__).parents[2] / "bundles/dsb2018_unet"
    done = segment([mosaics["dsb2018"]], bundle, tmp_path, overrides=QUICK | TILES | by_tiles_at_its_own_scale(bundle))
    assert done.gallery is not None
    page = done.gallery.read_text()
    assert "mosaic.tif" in page
    assert page.count("data:image/") >= 2


@pytest.mark.parametrize("object_diameter_px", [22, 31, "auto"])
def test_a_scaled_image_gives_nearly_the_same_in_tiles(object_diameter_px, mosaics, tmp_path):
    bundle = Path(__file__).parents[2] / "bundles/dsb2018_unet"
    options = {"object_diameter_px": object_diameter_px, "tile_margin": 96}
    for name, more in (("whole", {}), ("tiles", TILES)):
        infer(bundle, mosaics["dsb2018"], tmp_path / name, **more | options)
    whole, tiles = (tifffile.imread(tmp_path / name / "mosaic_instances.tif") for name in ("whole", "tiles"))
    assert whole.shape == tiles.shape == (500, 420)
    # pixels at the end of a tile are made of fewer than those of the whole
    assert np.mean((whole > 0) == (tiles > 0)) > 0.99
    # Where mirrored images meet, four nuclei lie crosswise: they are parted along one axis as well as along the other.
    assert np.mean(best_overlaps(whole, tiles) > 0.8) > 0.85
    scales = [next(csv.DictReader((tmp_path / name / "summary.csv").open()))["scale"] for name in ("whole", "tiles")]
    assert scales[0] == scales[1]


def test_an_image_reduced_to_specks_is_refused_with_the_remedy(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "slide.tif", np.zeros((9000, 8000), dtype=np.uint8), tile=(512, 512), compression="zlib")
    bundle = Path(__file__).parents[2] / "bundles/segpc2021_unet"
    with pytest.raises(RuntimeError):
        infer(bundle, images, tmp_path / "out", object_diameter_px=2000)
    assert "give the right --object_diameter_px" in (tmp_path / "out/summary.csv").read_text()


def test_nothing_of_an_image_stays_that_fails_at_the_end(mosaics, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(outputs, "outlined_objects", fail)
    with pytest.raises(RuntimeError):
        infer(Path(__file__).parents[2] / "bundles/dsb2018_unet", mosaics["dsb2018"], tmp_path, **TILES)
    left = {path.name for path in tmp_path.iterdir()} - {LOCK_FILE, DONE_FILE}  # one goes with the failed workflow
    assert left == {"summary.csv", "provenance_inference.json"}
    assert "no space left" in (tmp_path / "summary.csv").read_text()
