"""Give MONAI's U-Net the encoder of this package."""

from monai.networks.nets import FlexibleUNet

# Importing it registers the encoder "efficientnet-lite0".
from medseg_ext.networks import efficientnet_lite  # noqa: F401

__all__ = ["FlexibleUNet"]
