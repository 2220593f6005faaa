"""Compare runs on the same images, metric by metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medseg_ext.errors import DataError
from medseg_ext.metrics.bootstrap import Interval, count_groups
from medseg_ext.metrics.definitions import MetricDefinition, metrics_for
from medseg_ext.metrics.summary import summarise, summarise_difference
from medseg_ext.runs.model_names import name_models
from medseg_ext.runs.run_folder import EvaluatedRun, load_run

HEADLINE = "foreground_iou"


@dataclass(frozen=True)
class Score:
    """What a run reaches by one metric.

    Attributes:
        interval: the score with its 95 % bootstrap interval over groups of images.
        images: how many images have a defined value of their own.
        best_run: name of the run of the highest score; empty where no run has a defined one.
        difference: score minus that of the best run, with its paired 95 % interval, a mean over images only over those
            that are defined for both, so that it may be above 0; None for the best run itself.
    """

    interval: Interval
    images: int
    best_run: str
    difference: Interval | None

    @property
    def is_surely_lower(self) -> bool:
        """Whether the interval of the difference to the best run lies below 0."""
        return self.difference is not None and self.difference.high < 0


@dataclass(frozen=True)
class DataSetComparison:
    """All runs on the same images of one data set.

    Attributes:
        data_set: name of the data set.
        runs: the runs by name.
        definitions: the metrics by name.
        scores: of each metric, the score of each run by its name.
    """

    data_set: str
    runs: Mapping[str, EvaluatedRun]
    definitions: Mapping[str, MetricDefinition]
    scores: Mapping[str, Mapping[str, Score]]

    @property
    def ids(self) -> Sequence[str]:
        """The images, which are those of every run."""
        return next(iter(self.runs.values())).ids

    @property
    def n_groups(self) -> int:
        """How many groups the images belong to, such as mosaics or patients."""
        return count_groups(next(iter(self.runs.values())).groups)

    @property
    def has_intervals(self) -> bool:
        """Whether any score has an interval: none has where there are too few groups."""
        return any(not math.isnan(score.interval.low) for scores in self.scores.values() for score in scores.values())


def compare_run_folders(folders: Sequence[Path], names: Sequence[str] | None = None) -> list[DataSetComparison]:
    """Compare runs; those on one data set with each other.

    Args:
        folders: the output_dir of each evaluation.
        names: name of each run, the same for those that stand in one row; by default see `name_models`.

    Returns:
        One comparison a data set, data sets and runs in the order given.

    Raises:
        DataError: a folder is no run folder or given twice, the names do not fit the folders, or runs on one data set
            differ in images, truth, groups or classes; names the folder and what to do.
    """
    for position, folder in enumerate(folders):
        if folder.resolve() in {other.resolve() for other in folders[:position]}:
            raise DataError(f"{folder} is given twice: give each run once")
    runs = [load_run(folder) for folder in folders]
    if names is not None and len(names) != len(runs):
        raise DataError(f"--names must name each of the {len(runs)} runs, got {len(names)}: {', '.join(names)}")
    names = name_models(runs) if names is None else names
    data_sets = dict.fromkeys(run.data_set for run in runs)
    comparisons = []
    for data_set in data_sets:
        chosen = [position for position, run in enumerate(runs) if run.data_set == data_set]
        group = [runs[position] for position in chosen]
        group_names = [names[position] for position in chosen]
        if len(set(group_names)) < len(group_names):
            raise DataError(f"--names must differ between runs on {data_set}, got {', '.join(group_names)}")
        comparisons.append(compare_runs(dict(zip(group_names, group, strict=True))))
    return comparisons


def compare_runs(runs: Mapping[str, EvaluatedRun]) -> DataSetComparison:
    """Compare runs on the same images.

    Args:
        runs: the runs by name, at least one, all on one data set.

    Raises:
        DataError: the runs differ in images, truth, groups or classes.
    """
    first, *others = runs.values()
    for other in others:
        _check_same_images(first, other)
    definitions = metrics_for(first.class_names)
    summaries = {name: summarise(run.statistics, definitions, groups=run.groups) for name, run in runs.items()}
    scores = {}
    for metric in definitions:
        values = {name: summary[metric]["value"] for name, summary in summaries.items()}
        best = _best(values)
        scores[metric] = {
            name: Score(
                interval=Interval(values[name], *summary[metric]["interval_95"]),
                images=summary[metric]["images"],
                best_run=best,
                difference=_difference(runs[name], runs[best], definitions[metric]) if best not in ("", name) else None,
            )
            for name, summary in summaries.items()
        }
    return DataSetComparison(first.data_set, dict(runs), definitions, scores)


def _best(values: Mapping[str, float]) -> str:
    """Name the highest value, the first of several; empty where none is defined."""
    defined = [name for name, value in values.items() if not math.isnan(value)]
    return max(defined, key=lambda name: values[name], default="")


def _difference(run: EvaluatedRun, best: EvaluatedRun, definition: MetricDefinition) -> Interval:
    name = definition.name
    own, others = ({name: each.statistics[name]} for each in (run, best))
    summary = summarise_difference(own, others, {name: definition}, groups=run.groups)[name]
    return Interval(summary["difference"], *summary["interval_95"])


def _check_same_images(first: EvaluatedRun, other: EvaluatedRun) -> None:
    """Refuse to pair what does not belong together."""
    both = f"{first.folder} and {other.folder} are both on {first.data_set}"
    if list(first.class_names) != list(other.class_names):
        raise DataError(
            f"{both}, but with the classes {list(first.class_names)} and {list(other.class_names)}: "
            f"evaluate them on one data set folder, or compare them apart"
        )
    if first.ids != other.ids:
        only = sorted(set(first.ids) ^ set(other.ids))
        raise DataError(
            f"{both}, but on different images: {len(first.ids)} and {len(other.ids)}, only one has {_some(only)}; "
            "evaluate them on one data set folder and with one --split, or compare them apart"
        )
    truths = zip(first.ids, first.truth_digests, other.truth_digests, strict=True)
    differing = [name for name, one, another in truths if one != another]
    if differing:
        raise DataError(
            f"{both}, but the truth differs in {_some(differing)}: evaluate them on one data set folder, "
            "or compare them apart"
        )
    groups = zip(first.ids, first.groups, other.groups, strict=True)
    if regrouped := [name for name, one, another in groups if one != another]:
        raise DataError(
            f"{both}, but the groups differ in {_some(regrouped)}: evaluate them on one data set folder, "
            "or compare them apart"
        )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
