from .efficientnet_lite import EfficientNetLiteEncoder
from .segformer import SegFormer
from .synchronised_norms import synchronise_batch_norms
from .unet import FlexibleUNet
from .unet_plus_plus import UNetPlusPlus

__all__ = [
    "EfficientNetLiteEncoder",
    "FlexibleUNet",
    "SegFormer",
    "UNetPlusPlus",
    "synchronise_batch_norms",
]
