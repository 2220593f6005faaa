"""Polygons parsed back by shapely and GDAL must be the very label map that they were made of."""

import io
import json
import uuid

import numpy as np
import pytest
import shapely
from rasterio.features import rasterize
from shapely.geometry import shape

from medseg_ext.objects.geojson import GeojsonFile
from medseg_ext.objects.measurements import measure_objects
from medseg_ext.objects.outlined import outlined_objects

RING_WITH_LOOSE_PART = np.array(
    [
        [0, 3, 3, 3, 3, 0, 0],
        [0, 3, 0, 0, 3, 0, 3],
        [0, 3, 3, 3, 3, 0, 3],
    ]
)
CORNERS_TOUCH = np.array([[1, 0, 2], [0, 1, 2], [1, 1, 0]])
HOLE_TOUCHES_OUTSIDE = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1]])
OBJECT_IN_HOLE = np.array([[1, 1, 1, 1], [1, 2, 0, 1], [1, 1, 1, 1]])
NOISE = np.random.default_rng(0).integers(0, 4, (11, 17))
MAPS = [RING_WITH_LOOSE_PART, CORNERS_TOUCH, HOLE_TOUCHES_OUTSIDE, OBJECT_IN_HOLE, NOISE, np.array([[1]])]


def geojson_of(instances, scores=None, class_names=("background", "nucleus")):
    instances = instances.astype(np.int32)
    table = measure_objects(
        instances,
        np.minimum(instances, 1),
        np.ones(instances.max()) if scores is None else scores,
        np.zeros((*instances.shape, 3)),
        class_names=class_names,
        object_name="nucleus",
    )
    content = io.BytesIO()
    file = GeojsonFile(content, image_id="a b ü")
    for found in outlined_objects(instances, table):
        file.add(found)
    file.close()
    return json.loads(content.getvalue(), parse_constant=pytest.fail), table


@pytest.mark.parametrize("instances", MAPS)
def test_polygons_rasterise_back_to_the_label_map(instances):
    features = geojson_of(instances)[0]["features"]
    shapes = [(feature["geometry"], int(feature["properties"]["name"])) for feature in features]
    assert (rasterize(shapes, out_shape=instances.shape, dtype="int32") == instances).all()


@pytest.mark.parametrize("instances", MAPS)
def test_polygons_are_valid_and_have_the_area_of_their_object(instances):
    geojson, table = geojson_of(instances)
    polygons = [shape(feature["geometry"]) for feature in geojson["features"]]
    assert shapely.is_valid(polygons).all()
    assert shapely.area(polygons).tolist() == table["area_px"].tolist()


def test_a_hole_and_a_loose_part_are_kept_apart():
    (feature,) = geojson_of(RING_WITH_LOOSE_PART)[0]["features"]
    assert feature["geometry"]["type"] == "MultiPolygon"
    ring, loose = shape(feature["geometry"]).geoms
    assert (len(ring.interiors), len(loose.interiors)) == (1, 0)
    assert loose.bounds == (6, 1, 7, 3)  # x, y, x, y: columns before rows


def test_a_feature_is_a_detection_as_qupath_reads_it():
    geojson, _ = geojson_of(np.array([[0, 1, 1]]), scores=np.array([0.5]))
    assert geojson["type"] == "FeatureCollection"
    (feature,) = geojson["features"]
    assert feature["type"] == "Feature"
    assert feature["geometry"]["type"] == "Polygon"
    assert feature["properties"]["objectType"] == "detection"
    assert feature["properties"]["classification"]["name"] == "nucleus"
    assert len(feature["properties"]["classification"]["color"]) == 3
    assert feature["properties"]["measurements"]["score"] == 0.5
    assert all(isinstance(value, (int, float)) for value in feature["properties"]["measurements"].values())


def test_ids_are_uuids_that_differ_and_stay_the_same():
    first, second = (geojson_of(NOISE)[0]["features"] for _ in range(2))
    assert first == second
    assert len({uuid.UUID(feature["id"]) for feature in first}) == NOISE.max()


def test_a_measurement_that_is_nan_is_left_out():
    names = ("background", "cytoplasm", "nucleus")
    geojson, _ = geojson_of(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]]), class_names=names)
    assert "nucleus_cytoplasm_ratio" in geojson["features"][0]["properties"]["measurements"]
    geojson, _ = geojson_of(np.array([[1]]), class_names=("background", "nucleus", "cytoplasm"))
    assert "nucleus_cytoplasm_ratio" not in geojson["features"][0]["properties"]["measurements"]


def test_no_object_gives_an_empty_collection():
    assert geojson_of(np.zeros((2, 3)))[0] == {"type": "FeatureCollection", "features": []}
