"""Networks that MONAI lacks, or gives in another form than the bundles need.

`FlexibleUNet` is MONAI's own, with the encoder "efficientnet-lite0" registered, which asking for it here does.

Detectron2's Mask R-CNN is `medseg_ext.networks.mask_rcnn.MaskRCNN`: it is not among them, as only its bundles need
Detectron2.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
