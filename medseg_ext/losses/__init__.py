"""Training losses built of MONAI's."""

from medseg_ext.losses.detection import SumOfLosses
from medseg_ext.losses.semantic import ClassesAndBoundaryLoss

__all__ = ["ClassesAndBoundaryLoss", "SumOfLosses"]
