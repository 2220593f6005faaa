from .run_comparison import DataSetComparison, compare_run_folders, compare_runs
from .run_folder import EvaluatedRun, load_run, save_run

__all__ = [
    "DataSetComparison",
    "EvaluatedRun",
    "compare_run_folders",
    "compare_runs",
    "load_run",
    "save_run",
]
