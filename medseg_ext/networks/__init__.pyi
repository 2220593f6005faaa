from .efficientnet_lite import EfficientNetLiteEncoder
from .enlarging import Enlarging
from .segformer import SegFormer
from .unet import FlexibleUNet
from .unet_plus_plus import UNetPlusPlus

__all__ = [
    "EfficientNetLiteEncoder",
    "Enlarging",
    "FlexibleUNet",
    "SegFormer",
    "UNetPlusPlus",
]
