from .make import make_sample

__all__ = [
    "make_sample",
]
