"""Cell and nucleus segmentation with MONAI: what MONAI itself lacks."""

from importlib.metadata import version

__version__ = version("medseg-ext")
