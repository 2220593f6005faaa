from .provenance import Provenance, changes_since, read_provenance
from .run_comparison import DataSetComparison, compare_run_folders, compare_runs
from .run_folder import EvaluatedRun, load_run, save_run
from .training_images import write_training_images

__all__ = [
    "DataSetComparison",
    "EvaluatedRun",
    "Provenance",
    "changes_since",
    "compare_run_folders",
    "compare_runs",
    "load_run",
    "read_provenance",
    "save_run",
    "write_training_images",
]
