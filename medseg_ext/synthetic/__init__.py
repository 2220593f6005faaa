"""The painter of the sample: synthetic microscopy with its true objects."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
