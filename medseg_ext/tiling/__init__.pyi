from .large_images import LargeImages

__all__ = [
    "LargeImages",
]
