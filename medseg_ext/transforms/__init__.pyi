from .contrast import StretchContrastd
from .decoders import DecodeDetectionsd, DecodeObjectsd, DecodeSemanticd
from .foreground import ForegroundOfLogitsd
from .object_size import ObjectDiameterd, RandCropAtObjectSized
from .other_microscopy import inverted, one_channel_in_grey
from .readers import LabelReader, PreparedReader, RGBReader
from .stain import RandStainJitterd, scale_stains
from .targets import SemanticTargetd, centre_distances

__all__ = [
    "DecodeDetectionsd",
    "DecodeObjectsd",
    "DecodeSemanticd",
    "ForegroundOfLogitsd",
    "LabelReader",
    "ObjectDiameterd",
    "PreparedReader",
    "RGBReader",
    "RandCropAtObjectSized",
    "RandStainJitterd",
    "SemanticTargetd",
    "StretchContrastd",
    "centre_distances",
    "inverted",
    "one_channel_in_grey",
    "scale_stains",
]
