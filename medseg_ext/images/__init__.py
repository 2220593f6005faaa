"""Everything about the pixels of a file: formats, pages, photometry, orientation, pixel size, whole or in blocks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
