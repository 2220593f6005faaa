"""Segmentation of images that are too large to be held in memory with all that is computed on them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
