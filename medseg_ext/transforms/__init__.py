"""Transforms that MONAI lacks: reading, targets from label maps, decoding of outputs to objects."""

from medseg_ext.transforms.decode import DecodeSemanticd, ForegroundOfLogitsd, Objects, decode_semantic
from medseg_ext.transforms.decode_detections import DecodeDetectionsd, decode_detections
from medseg_ext.transforms.reader import LabelReader, RGBReader, read_labels, read_rgb
from medseg_ext.transforms.stain import RandStainJitterd, scale_stains
from medseg_ext.transforms.targets import SemanticTargetd, object_boundaries
from medseg_ext.transforms.working_size import ResizeToWorkingSized

__all__ = [
    "DecodeDetectionsd",
    "DecodeSemanticd",
    "ForegroundOfLogitsd",
    "LabelReader",
    "Objects",
    "RGBReader",
    "RandStainJitterd",
    "ResizeToWorkingSized",
    "SemanticTargetd",
    "decode_detections",
    "decode_semantic",
    "object_boundaries",
    "read_labels",
    "read_rgb",
    "scale_stains",
]
