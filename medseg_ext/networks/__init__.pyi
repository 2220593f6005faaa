from .efficientnet_lite import EfficientNetLiteEncoder
from .segformer import SegFormer
from .smp import SMPNetwork
from .synchronised_norms import synchronise_batch_norms
from .unet import FlexibleUNet
from .unet_plus_plus import UNetPlusPlus

__all__ = [
    "EfficientNetLiteEncoder",
    "FlexibleUNet",
    "SMPNetwork",
    "SegFormer",
    "UNetPlusPlus",
    "synchronise_batch_norms",
]
