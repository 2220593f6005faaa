"""Whole slides and OME-Zarr images give the objects of a plain image of their pixels."""

import gzip
import json

import jsonschema
import numpy as np
import pytest
import tifffile
import zarr
from bundle_settings import QUICK

from medseg_ext.bundle.find import find_bundle
from medseg_ext.bundle.segmentation import segment
from medseg_ext.errors import DataError
from medseg_ext.images.blocks import open_block_image
from medseg_ext.images.boxes import Box
from medseg_ext.synthetic.slide import write_slide

SIZE = (1100, 1400)
TILES = QUICK | {"large_image_px": 1000, "tile_size": 250, "tile_margin": 160}

POINT = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2}
RING = {"type": "array", "items": POINT, "minItems": 4}
POLYGON = {"type": "array", "items": RING, "minItems": 1}
# What QuPath's reader takes (QuPathTypeAdapters.PathObjectTypeAdapter), and RFC 7946 of geometries.
DETECTIONS = {
    "properties": {
        "type": {"const": "FeatureCollection"},
        "features": {
            "items": {
                "properties": {
                    "type": {"const": "Feature"},
                    "id": {"type": "string", "pattern": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"},
                    "geometry": {
                        "oneOf": [
                            {"properties": {"type": {"const": "Polygon"}, "coordinates": POLYGON}},
                            {"properties": {"type": {"const": "MultiPolygon"}, "coordinates": {"items": POLYGON}}},
                        ]
                    },
                    "properties": {
                        "properties": {
                            "objectType": {"const": "detection"},
                            "classification": {
                                "properties": {
                                    "name": {"type": "string"},
                                    "color": {
                                        "items": {"type": "integer", "minimum": 0, "maximum": 255},
                                        "minItems": 3,
                                    },
                                },
                                "required": ["name", "color"],
                            },
                            "measurements": {"additionalProperties": {"type": "number"}},
                        },
                        "required": ["objectType", "classification", "measurements"],
                    },
                },
                "required": ["type", "id", "geometry", "properties"],
            }
        },
    },
    "required": ["type", "features"],
}


@pytest.fixture(scope="module")
def pixels_of_slide(tmp_path_factory):
    """A slide, a fifth of it tissue, and a plain TIFF of its pixels, as they are decoded from its JPEG."""
    folder = tmp_path_factory.mktemp("slides")
    slide, plain = folder / "slide.svs", folder / "plain.tif"
    write_slide(slide, SIZE, tissue=0.2)
    pixels = (open_block_image(slide).read(Box(0, 0, *SIZE)) * 255).round().astype(np.uint8)
    tifffile.imwrite(plain, pixels, photometric="rgb", tile=(256, 256))
    return slide, plain, pixels


def segmented(image, output, **keys):
    return segment([str(image)], find_bundle("dsb2018_unet"), output, overrides=TILES | keys, gallery=False)


def test_a_slide_gives_the_objects_of_a_plain_image_of_its_pixels(pixels_of_slide, tmp_path):
    slide, plain, _ = pixels_of_slide
    at_its_scale = {"object_diameter_px": 24}
    segmented(slide, tmp_path / "all", skip_glass=False, **at_its_scale)
    segmented(plain, tmp_path / "plain", **at_its_scale)
    of_all, of_plain = (
        tifffile.imread(tmp_path / place / f"{name}_instances.tif", level=0)
        for place, name in (("all", "slide"), ("plain", "plain"))
    )
    np.testing.assert_array_equal(of_all, of_plain)
    assert of_all.max() > 50
    done = segmented(slide, tmp_path / "tissue", formats=["ome-tiff"], **at_its_scale)
    assert "tiles" in done.rows[0]["remarks"]
    assert "are glass" in done.rows[0]["remarks"]
    kept = tifffile.imread(tmp_path / "tissue/slide_instances.tif", level=0)
    # Glass no longer counts in what is black and white.
    assert kept.max() == pytest.approx(of_all.max(), rel=0.03)
    assert ((kept > 0) == (of_all > 0)).mean() > 0.995
    label_map, as_ome = (tmp_path / "tissue" / f"slide_{end}" for end in ("instances.tif", "labels.ome.tif"))
    assert label_map.read_bytes() == as_ome.read_bytes()


def test_ome_zarr_gives_the_objects_of_a_plain_image_and_gets_labels_only_when_asked(pixels_of_slide, tmp_path):
    _, _, pixels = pixels_of_slide
    part = pixels[600:1100, 800:1300]
    image, plain = tmp_path / "part.ome.zarr", tmp_path / "plain.tif"
    write_zarr_image(image, part)
    tifffile.imwrite(plain, part, photometric="rgb", tile=(256, 256))
    before = sorted(image.rglob("*"))
    options = {"object_diameter_px": 20, "skip_glass": False}
    segmented(plain, tmp_path / "plain", **options)
    for large in (1000, 10**6):
        output = tmp_path / f"of_{large}"
        formats = {"output_format": "ome-zarr", "formats": ["geojson.gz"]}
        segmented(image, output, **formats, **options | {"large_image_px": large})
        assert sorted(image.rglob("*")) == before
    truth = tifffile.imread(tmp_path / "plain/plain_instances.tif")
    of_tiles, of_whole = (
        np.asarray(zarr.open(str(tmp_path / f"of_{large}/part_instances.ome.zarr"), mode="r")["0"])
        for large in (1000, 10**6)
    )
    np.testing.assert_array_equal(of_tiles, truth)
    assert of_whole.max() == pytest.approx(truth.max(), abs=2)
    with gzip.open(tmp_path / "of_1000/part_objects.geojson.gz") as file:
        polygons = json.load(file)
    jsonschema.validate(polygons, DETECTIONS)
    assert len(polygons["features"]) == truth.max() > 10
    segmented(image, tmp_path / "in", output_format="ome-zarr-0.5", labels_in_image=True, **options)
    np.testing.assert_array_equal(zarr.open(str(image / "labels/nucleus/0"), mode="r")[:], truth)
    with pytest.raises(DataError, match="is there already"):
        segmented(image, tmp_path / "again", output_format="ome-zarr", labels_in_image=True, **options)
    with pytest.raises(DataError, match="is in the image"):
        segmented(image, image / "objects", **options)


def write_zarr_image(path, pixels):
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=np.ascontiguousarray(np.moveaxis(pixels, -1, 0)), chunks=(1, 256, 256))
    scale = [{"type": "scale", "scale": [1, 0.5, 0.5]}]
    axes = [{"name": "c"}, {"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
