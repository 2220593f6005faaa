from .decoders import DecodeDetectionsd, DecodeObjectsd, DecodeSemanticd
from .foreground import ForegroundOfLogitsd
from .readers import LabelReader, RGBReader
from .stain import RandStainJitterd, scale_stains
from .targets import SemanticTargetd, object_boundaries
from .working_size import ResizeToWorkingSized

__all__ = [
    "DecodeDetectionsd",
    "DecodeObjectsd",
    "DecodeSemanticd",
    "ForegroundOfLogitsd",
    "LabelReader",
    "RGBReader",
    "RandStainJitterd",
    "ResizeToWorkingSized",
    "SemanticTargetd",
    "object_boundaries",
    "scale_stains",
]
