"""Read objects from the GeoJSON of QuPath, one file an image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medseg_ext.datasets.annotations import OneFile, Remarks
from medseg_ext.datasets.cell_parts import with_nuclei
from medseg_ext.datasets.json_files import beginning, is_json_name, read_json
from medseg_ext.datasets.label_maps import ObjectMask
from medseg_ext.datasets.pairing import Pairing, pair_files
from medseg_ext.datasets.polygons import outlined_object
from medseg_ext.datasets.raw_images import is_image_name
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError

NO_OUTLINE = "{} that encloses nothing"
OTHER_OBJECTS = ("root", "tile", "tma_core")
IGNORED = "object of the class {}, which QuPath ignores"
REGION = "annotation beside detections: a region and no object"
OTHER_PLANE = "object of another plane or time than the first"


@dataclass(frozen=True)
class GeoJsonFile(OneFile):
    """Objects as the features of a GeoJSON file; coordinates are pixels from the image's upper left corner."""

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Draw the objects; of QuPath's cells the nucleus has class 2. Raises: DataError: the file is broken."""
        features = read_features(source, self.file)
        kinds = [_object_type(feature) for feature in features]
        has_detections = any(kind in ("detection", "cell") for kind in kinds)
        for number, (feature, kind) in enumerate(zip(features, kinds, strict=True), start=1):
            label = class_of(feature)
            name = f"{self.file}, object {number}"
            geometry = feature.get("geometry")
            if kind in OTHER_OBJECTS:
                remarks.skipped[f"QuPath's {kind}, which is no object"].append(name)
            elif label.endswith("*"):
                remarks.skipped[IGNORED.format(label)].append(name)
            elif has_detections and kind == "annotation":
                remarks.skipped[REGION].append(name)
            elif _is_of_other_plane(geometry):
                remarks.skipped[OTHER_PLANE].append(name)
            elif (mask := self._draw(geometry, source, shape, name, label, remarks)) is not None:
                nucleus = feature.get("nucleusGeometry")
                inner = self._draw(nucleus, source, shape, f"{name}, nucleus", label, remarks) if nucleus else None
                yield mask if inner is None else with_nuclei(mask, [inner])

    def _draw(
        self, geometry: Any, source: Source, shape: tuple[int, int], name: str, label: str, remarks: Remarks
    ) -> ObjectMask | None:
        kind = geometry.get("type") if isinstance(geometry, Mapping) else None
        try:
            polygons = _polygons(geometry)
            if not polygons:
                remarks.skipped[NO_OUTLINE.format(kind or "object without a geometry")].append(name)
                return None
            return outlined_object(polygons, shape, name=name, label=label, remarks=remarks)
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{source.path}/{name}: {error}: mend its outline, or export it again") from error


def find_images(source: Source) -> Pairing:
    """Pair images with GeoJSON files. Raises: DataError: as `pair_files`."""
    jsons = [name for name in source.names if is_json_name(name)]
    found = {name for name in jsons if is_geojson(source, name)}
    return pair_files(source, is_image_name, found.__contains__)


def is_geojson(source: Source, name: str) -> bool:
    """Say whether a file has GeoJSON in it, by its name or its beginning."""
    text = name.lower().removesuffix(".gz")
    return text.endswith(".geojson") or (text.endswith(".json") and b'"Feature' in beginning(source, name))


def read_features(source: Source, name: str) -> list[Mapping[str, Any]]:
    """Read the features of a FeatureCollection, of a list of features, or a single one. Raises: DataError: broken."""
    content = read_json(source, name)
    if isinstance(content, Mapping):
        content = content.get("features") if "features" in content else [content]
    if not isinstance(content, list) or not all(
        isinstance(each, Mapping) and each.get("type") == "Feature" for each in content
    ):
        raise DataError(f"{source.where(name)} has no GeoJSON features: export objects as GeoJSON from QuPath again")
    return content


def classes_in(source: Source, files: Sequence[str]) -> tuple[set[str], bool]:
    """List the names of classes in GeoJSON files; and say whether there are QuPath's cells with nuclei.

    Raises: DataError: one is broken.
    """
    names: set[str] = set()
    has_cells = False
    for file in files:
        for feature in read_features(source, file):
            names.add(class_of(feature))
            has_cells |= bool(feature.get("nucleusGeometry"))
    return names, has_cells


def class_of(feature: Mapping[str, Any]) -> str:
    """Give the name of a feature's class, "" without one, as QuPath writes it from version 0.2 on."""
    properties = feature.get("properties") or {}
    classification = properties.get("classification") if isinstance(properties, Mapping) else None
    if isinstance(classification, Mapping):
        names = classification.get("names")
        return ": ".join(map(str, names)) if isinstance(names, list) else str(classification.get("name") or "")
    return str(classification or "")


def _object_type(feature: Mapping[str, Any]) -> str:
    properties = feature.get("properties") or {}
    kind = properties.get("objectType") or properties.get("object_type") if isinstance(properties, Mapping) else None
    if not kind and str(feature.get("id", "")).startswith("Path"):  # QuPath 0.2: "PathDetectionObject"
        kind = str(feature["id"]).removeprefix("Path").removesuffix("Object")
    return str(kind or "").lower()


def _is_of_other_plane(geometry: Any) -> bool:
    plane = geometry.get("plane") if isinstance(geometry, Mapping) else None
    return isinstance(plane, Mapping) and bool(plane.get("z") or plane.get("t"))


def _polygons(geometry: Any) -> list[list[Any]]:
    """List the polygons of a geometry, each as its rings; points and lines have none."""
    if not isinstance(geometry, Mapping):
        return []
    if geometry.get("type") == "Polygon":
        return [geometry["coordinates"]]
    if geometry.get("type") == "MultiPolygon":
        return list(geometry["coordinates"])
    if geometry.get("type") == "GeometryCollection":
        return [polygon for part in geometry["geometries"] for polygon in _polygons(part)]
    return []
