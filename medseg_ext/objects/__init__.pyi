from .detections import decode_detections
from .diameters import object_diameters, typical_diameter
from .geojson import outline_polygons, to_features, to_geojson
from .measurements import measure_objects, summarise_objects
from .objects import Objects
from .overlay import brightened, draw_outlines
from .result_files import write_objects
from .result_folder import ResultFolder
from .watershed import decode_semantic

__all__ = [
    "Objects",
    "ResultFolder",
    "brightened",
    "decode_detections",
    "decode_semantic",
    "draw_outlines",
    "measure_objects",
    "object_diameters",
    "outline_polygons",
    "summarise_objects",
    "to_features",
    "to_geojson",
    "typical_diameter",
    "write_objects",
]
