from .detection import SumOfLosses
from .semantic import ClassesAndDistanceLoss
from .whole_batch import LossOfWholeBatch

__all__ = [
    "ClassesAndDistanceLoss",
    "LossOfWholeBatch",
    "SumOfLosses",
]
