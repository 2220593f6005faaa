from .detection import SumOfLosses
from .semantic import ClassesAndDistanceLoss

__all__ = [
    "ClassesAndDistanceLoss",
    "SumOfLosses",
]
