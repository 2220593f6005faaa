"""Networks that MONAI lacks, or gives in another form than the bundles need.

MONAI's `FlexibleUNet` stands among them because importing this package registers its encoder "efficientnet-lite0".

Detectron2's Mask R-CNN is `medseg_ext.networks.mask_rcnn.MaskRCNN`: it is not imported here, as only its bundles need
Detectron2.
"""

from monai.networks.nets import FlexibleUNet

from medseg_ext.networks.efficientnet_lite import EfficientNetLiteEncoder
from medseg_ext.networks.enlarging import Enlarging
from medseg_ext.networks.segformer import SegFormer
from medseg_ext.networks.unet_plus_plus import UNetPlusPlus

__all__ = ["EfficientNetLiteEncoder", "Enlarging", "FlexibleUNet", "SegFormer", "UNetPlusPlus"]
