"""What is in a run's folder: evaluation of a run, and comparison of runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
