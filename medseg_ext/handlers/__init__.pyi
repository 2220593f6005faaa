from .averaging import AveragedWeights
from .best_model import BestModel, StartValidation
from .checkpoint import ResumableState, refuse_to_replace
from .divergence import StopWhenDiverged
from .early_stop import EarlyStop
from .evaluation_report import EvaluationReport
from .failing_images import iterate_or_report
from .frozen_norms import FrozenNorms
from .iou_curve import IoUCurve
from .losses_by_name import LossesByName
from .object_metric import ObjectMetric
from .object_metric_handler import ObjectMetricHandler
from .object_writer import ObjectWriter
from .progress import ProgressBar
from .score_calibration import FittedScores
from .seeded_epochs import SeededEpochs
from .time_left import TimeLeft
from .weights_loader import WeightsLoader

__all__ = [
    "AveragedWeights",
    "BestModel",
    "EarlyStop",
    "EvaluationReport",
    "FittedScores",
    "FrozenNorms",
    "IoUCurve",
    "LossesByName",
    "ObjectMetric",
    "ObjectMetricHandler",
    "ObjectWriter",
    "ProgressBar",
    "ResumableState",
    "SeededEpochs",
    "StartValidation",
    "StopWhenDiverged",
    "TimeLeft",
    "WeightsLoader",
    "iterate_or_report",
    "refuse_to_replace",
]
