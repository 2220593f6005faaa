from .segmentation import ClusterSegmentation

__all__ = [
    "ClusterSegmentation",
]
