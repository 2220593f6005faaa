"""Training losses built of MONAI's."""

from medseg_ext.losses.semantic import ClassesAndBoundaryLoss

__all__ = ["ClassesAndBoundaryLoss"]
