"""From images to predictions and files."""

from medseg_ext.inference.autocast import CPUAutocastInferer
from medseg_ext.inference.each_image import iterate_or_report
from medseg_ext.inference.geojson import outline_polygons, to_features, to_geojson
from medseg_ext.inference.images import ReadableImages
from medseg_ext.inference.large import LargeImages
from medseg_ext.inference.measure import measure_objects, summarise_objects
from medseg_ext.inference.mirrored import MirroredInferer
from medseg_ext.inference.overlay import draw_overlay
from medseg_ext.inference.writers import write_objects

__all__ = [
    "CPUAutocastInferer",
    "LargeImages",
    "MirroredInferer",
    "ReadableImages",
    "draw_overlay",
    "iterate_or_report",
    "measure_objects",
    "outline_polygons",
    "summarise_objects",
    "to_features",
    "to_geojson",
    "write_objects",
]
