"""Ignite handlers that MONAI lacks."""

from medseg_ext.handlers.averaging import AveragedWeights
from medseg_ext.handlers.checkpoint import BestModel, ResumableState
from medseg_ext.handlers.curve import IoUCurve
from medseg_ext.handlers.distributed import is_first_process
from medseg_ext.handlers.evaluation import EvaluationReport
from medseg_ext.handlers.losses import LossesByName
from medseg_ext.handlers.metrics import ObjectMetricHandler
from medseg_ext.handlers.progress import ProgressBar
from medseg_ext.handlers.weights import WeightsLoader
from medseg_ext.handlers.writer import ObjectWriter

__all__ = [
    "AveragedWeights",
    "BestModel",
    "EvaluationReport",
    "IoUCurve",
    "LossesByName",
    "ObjectMetricHandler",
    "ObjectWriter",
    "ProgressBar",
    "ResumableState",
    "WeightsLoader",
    "is_first_process",
]
