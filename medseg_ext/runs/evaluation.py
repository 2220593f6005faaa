"""Evaluate the objects of a run against their truth."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medseg_ext.datasets.data_set_folder import read_dataset_json
from medseg_ext.files import check_id, folder_to_disk, read_regular, write_atomically
from medseg_ext.metrics.bootstrap import bootstrap_interval, count_groups
from medseg_ext.metrics.calibration import (
    brier_score,
    calibration_terms,
    expected_calibration_error,
    reliability_curve,
    which_are_right,
)
from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.metrics.image_comparison import ImageComparison, compare_image
from medseg_ext.metrics.summary import image_statistics, per_image_values, stack_statistics, summarise
from medseg_ext.objects.diameters import typical_diameter
from medseg_ext.objects.label_map_files import encode_label_tiff
from medseg_ext.runs.provenance import provenance_file
from medseg_ext.runs.run_files import CSV_FILE, RUN_FILE
from medseg_ext.runs.run_folder import (
    KEPT_CURVE_FILE,
    EvaluatedRun,
    digest_of_truth,
    label_map_path,
    save_run,
)
from medseg_ext.runs.trained_on import TrainedOn, read_trained_on
from medseg_ext.runs.training_curve import find_training_file
from medseg_ext.tables import to_csv

METRICS_FILE, PER_IMAGE_FILE, SCORES_FILE = "metrics.json", "metrics_per_image.csv", "object_scores.csv"
MOST_OFF = 1.5  # times too large or too small: what networks are trained to bear


@dataclass(frozen=True)
class EvaluatedImage:
    """What is kept of one image.

    Attributes:
        id: its name.
        kind: of microscopy; may be empty.
        group: what it shares with other images, such as a mosaic or a patient; empty for an image by itself.
        true_objects, pred_objects, found_objects: how many; found are true ones that a predicted one overlaps with an
            IoU of at least 0.5.
        true_diameter_px: median diameter of the true objects, NaN without any.
        object_diameter_px: diameter for which the image was scaled, NaN where none was known.
        truth_digest: of the truth.
        statistics: what each metric remembers.
        scores, is_right: of the predicted objects, float64 and bool (N,); empty where none are known.
    """

    id: str
    kind: str
    group: str
    true_objects: int
    pred_objects: int
    found_objects: int
    true_diameter_px: float
    object_diameter_px: float
    truth_digest: str
    statistics: Mapping[str, torch.Tensor]
    scores: torch.Tensor
    is_right: torch.Tensor


@dataclass(frozen=True)
class EvaluationSummary:
    """What an evaluation found.

    Attributes:
        facts: what was evaluated, such as data set and checkpoint, and the numbers of images and of their groups.
        metrics: of each metric its value and interval, as `medseg_ext.metrics.summarise` gives them.
        by_kind: the same for the images of each kind; empty where images have none.
        definitions: a line on each metric.
        sizes: how often the diameter of objects was taken wrongly, see `summarise_sizes`.
        objects: `true` ones, and of them those `found` (IoU of at least 0.5) and `missed`; `spurious` ones.
        scores: how far the scores of predicted objects are right, see `summarise_scores`.
        kinds: what the names of kinds of microscopy stand for, as the bundle's metadata tell.
        model: name of the model; may be empty.
        rows: one an image, with `id`, `kind`, `group`, `true_objects`, `pred_objects`, `true_diameter_px`,
            `object_diameter_px` and the image's own value of each metric.
        statistics: of each metric one row an image, float64 (N, K).
        score_rows: one a predicted object, with `image`, `object` (its number), `score`, and `right` (1 or 0).
    """

    facts: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    by_kind: Mapping[str, Mapping[str, Mapping[str, Any]]]
    definitions: Mapping[str, str]
    sizes: Mapping[str, Any]
    objects: Mapping[str, int]
    scores: Mapping[str, Any]
    kinds: Mapping[str, str]
    model: str
    rows: Sequence[Mapping[str, Any]]
    statistics: Mapping[str, torch.Tensor]
    score_rows: Sequence[Mapping[str, Any]]


class Evaluation:
    """The images of one model on one data set, compared with their truth.

    Args:
        folder: the run's folder.
        class_names: name of each value of the class map, the background first.
        facts: what is evaluated, such as section and checkpoint.
        title: stands for the data set where no folder of one is given.
        training_dir: where the curve of the training may be, see `find_training_file`.
        bundle: the bundle's folder, whose metadata name the model; without it the model has no name.
        dataset_dir: the data set folder, whose `dataset.json` names the data set.

    Attributes:
        images: what was added so far.
    """

    def __init__(
        self,
        folder: Path,
        *,
        class_names: Sequence[str],
        facts: Mapping[str, Any],
        title: str,
        training_dir: Path,
        bundle: Path | None = None,
        dataset_dir: Path | None = None,
    ) -> None:
        self.folder = folder
        self.class_names = list(class_names)
        self.definitions = metrics_for(class_names)
        self.facts = dict(facts)
        self.title = title
        self.training_dir = training_dir
        self.bundle = bundle
        self.dataset_dir = dataset_dir
        self.images: list[EvaluatedImage] = []

    @property
    def data_set_name(self) -> str:
        """What the data set calls itself; empty without one."""
        return str(read_dataset_json(self.dataset_dir).get("name") or "") if self.dataset_dir else ""

    @property
    def trained_on(self) -> TrainedOn:
        """The data that the weights were trained on."""
        data_set = self.data_set_name or self.title
        return read_trained_on(self.training_dir, self.bundle, dataset_dir=self.dataset_dir, data_set=data_set)

    def start(self) -> None:
        """Forget the images of an earlier evaluation, which is none any more in the folder either."""
        self.images.clear()
        for file in (self.folder / RUN_FILE, provenance_file(self.folder, "evaluate")):
            file.unlink(missing_ok=True)  # else an interrupted one would pass for a whole one, or have other weights

    def add(
        self,
        image_id: str,
        kind: str,
        *,
        pred_instances: torch.Tensor,
        true_instances: torch.Tensor,
        pred_classes: torch.Tensor,
        true_classes: torch.Tensor,
        pred_scores: torch.Tensor | None = None,
        group: str = "",
        object_diameter_px: float = math.nan,
    ) -> ImageComparison:
        """Compare one image with its truth, and keep both label maps.

        Args:
            image_id: its name.
            kind: of microscopy; may be empty.
            pred_instances: label map, integers (1, H, W).
            true_instances: that of the truth.
            pred_classes: class map, integers (1, H, W).
            true_classes: that of the truth.
            pred_scores: of the predicted objects, floats (N,) in [0, 1]; entry i belongs to object i + 1. None where
                they are not known.
            group: what it shares with other images, such as a mosaic or a patient; empty for an image by itself.
            object_diameter_px: diameter for which the image was scaled.

        Raises:
            DataError: the id cannot name the files of the image.
        """
        check_id(image_id, f"{self.folder}")
        comparison = compare_image(pred_instances, true_instances, pred_classes, true_classes)
        scores = torch.as_tensor([] if pred_scores is None else pred_scores, dtype=torch.float64).cpu()
        no_objects = torch.zeros(0, dtype=torch.bool)
        self.images.append(
            EvaluatedImage(
                id=image_id,
                kind=kind,
                group=group,
                true_objects=comparison.overlaps.n_true,
                pred_objects=comparison.overlaps.n_pred,
                found_objects=len(comparison.matched_iou),
                true_diameter_px=typical_diameter(np.asarray(true_instances)) or math.nan,
                object_diameter_px=object_diameter_px,
                truth_digest=digest_of_truth(np.asarray(true_instances), np.asarray(true_classes)),
                statistics=image_statistics(comparison, self.definitions),
                scores=scores,
                is_right=no_objects if pred_scores is None else which_are_right(comparison, len(scores)),
            )
        )
        for instances, of_truth in ((pred_instances, False), (true_instances, True)):
            path = label_map_path(self.folder, image_id, of_truth=of_truth)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, encode_label_tiff(np.asarray(instances)[0]), temporary_in=self.folder, at_once=False)
        return comparison

    def summarise(self) -> EvaluationSummary:
        """Score all images."""
        statistics = stack_statistics([image.statistics for image in self.images])
        values = per_image_values(statistics, self.definitions)
        groups = [image.group for image in self.images]
        rows = [
            {
                "id": image.id,
                "kind": image.kind,
                "group": image.group,
                "true_objects": image.true_objects,
                "pred_objects": image.pred_objects,
                "true_diameter_px": image.true_diameter_px,
                "object_diameter_px": image.object_diameter_px,
                **{name: float(column[index]) for name, column in values.items()},
            }
            for index, image in enumerate(self.images)
        ]
        return EvaluationSummary(
            facts={**self.facts, "images": len(self.images), "groups": count_groups(groups)},
            metrics=summarise(statistics, self.definitions, groups=groups),
            by_kind=self._summarise_kinds(),
            definitions={name: definition.description for name, definition in self.definitions.items()},
            sizes=summarise_sizes(self.images),
            objects=count_objects(self.images),
            scores=summarise_scores(self.images),
            kinds=self._kinds(),
            model=_model_name(self.bundle) if self.bundle else "",
            rows=rows,
            statistics=statistics,
            score_rows=[
                {"image": image.id, "object": number, "score": score, "right": int(is_right)}
                for image in self.images
                for number, (score, is_right) in enumerate(
                    zip(image.scores.tolist(), image.is_right.tolist(), strict=True), start=1
                )
            ],
        )

    def finish(self, summary: EvaluationSummary) -> None:
        """Write what comparisons need, last of all: see `medseg_ext.runs.run_folder`."""
        kept_curve = self.folder / KEPT_CURVE_FILE
        kept_curve.unlink(missing_ok=True)  # it may be that of other weights
        if curve := find_training_file(CSV_FILE, self.training_dir, self.bundle):
            write_atomically(kept_curve, read_regular(curve))
        for path in self.folder.iterdir():
            if path.is_dir():
                folder_to_disk(path)
        save_run(
            EvaluatedRun(
                folder=self.folder,
                model=_model_name(self.bundle) if self.bundle else "",
                data_set=self.data_set_name or self.title,
                class_names=self.class_names,
                facts=self.facts,
                ids=[image.id for image in self.images],
                kinds=[image.kind for image in self.images],
                groups=[image.group for image in self.images],
                truth_digests=[image.truth_digest for image in self.images],
                statistics=summary.statistics,
                trained_on=self.trained_on,
            )
        )

    def _kinds(self) -> Mapping[str, str]:
        """Say what the bundle's names of kinds stand for, which other data may mean otherwise."""
        metadata = _metadata(self.bundle)
        own = self.data_set_name in ("", metadata.get("data_set"))
        return metadata.get("kinds", {}) if own else {}

    def _summarise_kinds(self) -> dict[str, dict[str, dict[str, Any]]]:
        kinds = sorted({image.kind for image in self.images})
        if kinds == [""]:
            return {}
        summaries = {}
        for kind in kinds:
            images = [image for image in self.images if image.kind == kind]
            statistics = stack_statistics([image.statistics for image in images])
            summaries[kind] = summarise(statistics, self.definitions, groups=[image.group for image in images])
        return summaries


def summarise_sizes(images: Sequence[EvaluatedImage]) -> dict[str, Any]:
    """Count how often the diameter for which images were scaled is that of their true objects.

    Returns:
        `images` with true objects and a diameter, and of them the `share_within_1.5`, of which neither diameter is more
        than 1.5 times the other (NaN without any).
    """
    ratios = np.array([image.object_diameter_px / image.true_diameter_px for image in images])
    ratios = ratios[np.isfinite(ratios)]
    within = np.maximum(ratios, 1 / ratios) <= MOST_OFF
    return {"images": len(ratios), f"share_within_{MOST_OFF:g}": float(within.mean()) if len(ratios) else math.nan}


def count_objects(images: Sequence[EvaluatedImage]) -> dict[str, int]:
    """Count the objects of images: `true` ones, those of them `found` and `missed`, and `spurious` ones."""
    n_true, n_pred, found = (
        sum(counts) for counts in zip(*((i.true_objects, i.pred_objects, i.found_objects) for i in images), strict=True)
    )
    return {"true": n_true, "found": found, "missed": n_true - found, "spurious": n_pred - found}


def summarise_scores(images: Sequence[EvaluatedImage]) -> dict[str, Any]:
    """Say how far the scores of predicted objects are the shares of them that are right.

    Returns:
        `objects`, of which a score is known; their `mean_score` and the share that is `right`;
        `expected_calibration_error` and `brier_score`, each `value` and `interval_95` over groups of images;
        `reliability`, the bins that hold objects, see `medseg_ext.metrics.ReliabilityBin`. Undefined is NaN.
    """
    terms = torch.stack([calibration_terms(image.scores, image.is_right) for image in images])
    groups = [image.group for image in images]
    scores = torch.cat([image.scores for image in images])
    is_right = torch.cat([image.is_right for image in images])
    figures: dict[str, Any] = {
        "objects": len(scores),
        "mean_score": float(scores.mean()),
        "right": float(is_right.double().mean()),
    }
    for reduce in (expected_calibration_error, brier_score):
        value, low, high = bootstrap_interval(terms, reduce, groups=groups)
        figures[reduce.__name__] = {"value": value, "interval_95": [low, high]}
    return figures | {"reliability": [place._asdict() for place in reliability_curve(terms)]}


def write_metrics(summary: EvaluationSummary, folder: Path) -> None:
    """Write `metrics.json`, `metrics_per_image.csv` and `object_scores.csv`; undefined is null and an empty cell."""
    content = {
        **summary.facts,
        "objects": summary.objects,
        "metrics": summary.metrics,
        "by_kind": summary.by_kind,
        "object_diameter": summary.sizes,
        "scores": summary.scores,
        "definitions": summary.definitions,
    }
    write_atomically(folder / METRICS_FILE, json.dumps(_nan_to_null(content), indent=4) + "\n")
    write_atomically(folder / PER_IMAGE_FILE, to_csv(list(summary.rows[0]), summary.rows, decimals=6))
    columns = ["image", "object", "score", "right"]
    write_atomically(folder / SCORES_FILE, to_csv(columns, summary.score_rows, decimals=6))


def _model_name(bundle: Path) -> str:
    """Read a bundle's name from its metadata, else take that of its folder."""
    return str(_metadata(bundle).get("name") or bundle.resolve().name)


def _metadata(bundle: Path | None) -> dict[str, Any]:
    file = bundle / "configs" / "metadata.json" if bundle else None
    return json.loads(file.read_text(encoding="utf-8")) if file is not None and file.is_file() else {}


def _nan_to_null(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _nan_to_null(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nan_to_null(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value
