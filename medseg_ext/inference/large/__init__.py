"""Segmentation of images that are too large to be held in memory with all that is computed on them."""

from medseg_ext.inference.large.segment import LargeImages

__all__ = ["LargeImages"]
