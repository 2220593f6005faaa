from .detection import SumOfLosses
from .semantic import ClassesAndBoundaryLoss

__all__ = [
    "ClassesAndBoundaryLoss",
    "SumOfLosses",
]
