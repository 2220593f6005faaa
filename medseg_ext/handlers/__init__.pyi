from .averaging import AveragedWeights
from .checkpoint import BestModel, ResumableState, refuse_to_replace
from .divergence import StopWhenDiverged
from .early_stop import EarlyStop
from .evaluation_report import EvaluationReport
from .failing_images import iterate_or_report
from .iou_curve import IoUCurve
from .losses_by_name import LossesByName
from .object_metric import ObjectMetric
from .object_metric_handler import ObjectMetricHandler
from .object_writer import ObjectWriter
from .progress import ProgressBar
from .seeded_epochs import SeededEpochs
from .weights_loader import WeightsLoader

__all__ = [
    "AveragedWeights",
    "BestModel",
    "EarlyStop",
    "EvaluationReport",
    "IoUCurve",
    "LossesByName",
    "ObjectMetric",
    "ObjectMetricHandler",
    "ObjectWriter",
    "ProgressBar",
    "ResumableState",
    "SeededEpochs",
    "StopWhenDiverged",
    "WeightsLoader",
    "iterate_or_report",
    "refuse_to_replace",
]
