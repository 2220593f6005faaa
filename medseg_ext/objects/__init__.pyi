from .detections import decode_detections
from .diameters import object_diameters, typical_diameter
from .formats import ResultFormats
from .measurements import measure_objects, summarise_objects
from .objects import Objects
from .outlined import OutlinedObject, outline_polygons, outlined_objects
from .overlay import brightened, draw_outlines
from .result_files import write_objects
from .result_folder import ResultFolder
from .watershed import decode_semantic

__all__ = [
    "Objects",
    "OutlinedObject",
    "ResultFolder",
    "ResultFormats",
    "brightened",
    "decode_detections",
    "decode_semantic",
    "draw_outlines",
    "measure_objects",
    "object_diameters",
    "outline_polygons",
    "outlined_objects",
    "summarise_objects",
    "typical_diameter",
    "write_objects",
]
