"""Write the metrics and the report of an evaluation."""

from __future__ import annotations

import csv
import json
import logging
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from ignite.engine import Engine, Events
from PIL import Image

from medseg_ext.data.datalist import read_dataset_json
from medseg_ext.handlers.distributed import is_first_process
from medseg_ext.inference.writers import encode_label_tiff
from medseg_ext.metrics import (
    compare_image,
    image_statistics,
    metrics_for,
    per_image_values,
    stack_statistics,
    summarise,
)
from medseg_ext.report.compare_run import (
    CURVE_FILE,
    RUN_FILE,
    EvaluatedRun,
    digest_of_truth,
    label_map_path,
    save_run,
)
from medseg_ext.report.figures import draw_histogram
from medseg_ext.report.html import write_report
from medseg_ext.report.outlines import draw_comparison
from medseg_ext.transforms import read_rgb

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluatedImage:
    """What is kept of one image: its name, kind, numbers of objects, truth, and what each metric remembers."""

    id: str
    kind: str
    true_objects: int
    pred_objects: int
    truth_digest: str
    statistics: Mapping[str, torch.Tensor]


class EvaluationReport:
    """Write `metrics.json`, `metrics_per_image.csv`, `comparisons/<id>.png`, `report.html`, and what comparisons need.

    The latter, for `medseg compare`, are the files of `medseg_ext.report.compare_run`.

    Attach it to an evaluator whose data have an `id`, and whose output has `pred_instances`, `pred_classes`,
    `true_instances` and `true_classes` at the size of the original image. With several processes, the first one
    gathers and writes.

    Args:
        output_dir: folder of the files.
        class_names: name of each value of the class map, the background first.
        title: heading of the report.
        facts: what was evaluated, for the report and the JSON, such as data set and checkpoint.
        headline: metrics shown large; the first one ranks the images.
        training_dir: where `iou_curve.png` and `.csv` of the training may be, to be shown in the report and kept; by
            default `output_dir`; "" is the current folder. For the weights in a bundle's `models` they may be in its
            `docs`.
        pictures: how many of the worst images to show; a third as many of the middle and of the best are shown too.
        bundle_root: the bundle, whose metadata name the model; without it the model has no name.
        dataset_dir: the data set folder, whose `dataset.json` names the data set; without it the title stands for it.
    """

    def __init__(
        self,
        output_dir: str,
        *,
        class_names: Sequence[str],
        title: str = "Evaluation",
        facts: Mapping[str, Any] | None = None,
        headline: Sequence[str] = ("foreground_iou", "ap_50", "pq", "aji"),
        training_dir: str | None = None,
        pictures: int = 6,
        bundle_root: str | None = None,
        dataset_dir: str | None = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.definitions = metrics_for(class_names)
        unknown = [name for name in headline if name not in self.definitions]
        if unknown:
            raise ValueError(f"headline must name metrics of {list(self.definitions)}, got {unknown}")
        self.title = title
        self.facts = dict(facts or {})
        self.headline = list(headline)
        self.training_dir = Path(training_dir) if training_dir is not None else None
        self.pictures = pictures
        self.bundle_root = Path(bundle_root) if bundle_root else None
        self.dataset_dir = Path(dataset_dir) if dataset_dir else None
        self.images: list[EvaluatedImage] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.compare)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        """Forget the images of an earlier run."""
        self.images.clear()
        if is_first_process():
            (self.output_dir / RUN_FILE).unlink(missing_ok=True)  # else an interrupted run would pass for a whole one

    def compare(self, engine: Engine) -> None:
        """Compare the images of one iteration with the truth, draw each, and keep its label maps."""
        state: Any = engine.state  # after MONAI's postprocessing both are lists of dicts
        for item, prediction in zip(state.batch, state.output, strict=True):
            maps = [prediction[f"{side}_{kind}"] for kind in ("instances", "classes") for side in ("pred", "true")]
            comparison = compare_image(*(torch.as_tensor(each) for each in maps))
            pred_instances, true_instances, _, true_classes = (np.asarray(each)[0] for each in maps)
            self.images.append(
                EvaluatedImage(
                    id=item["id"],
                    kind=str(item.get("cluster", "")),
                    true_objects=comparison.n_true,
                    pred_objects=comparison.n_pred,
                    truth_digest=digest_of_truth(true_instances, true_classes),
                    statistics=image_statistics(comparison, self.definitions),
                )
            )
            matched_pred, matched_true = comparison.matches.T
            picture = draw_comparison(
                read_rgb(item["image"].meta["filename_or_obj"]),
                pred_instances,
                true_instances,
                matched_pred=comparison.pred_ids[matched_pred].numpy(),
                matched_true=comparison.true_ids[matched_true].numpy(),
            )
            path = self._picture_of(item["id"])
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
            for instances, of_truth in ((pred_instances, False), (true_instances, True)):
                path = label_map_path(self.output_dir, item["id"], of_truth=of_truth)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_label_tiff(instances))

    def write(self, engine: Engine) -> None:
        """Write all files."""
        self._gather()
        if not is_first_process():
            return
        self.output_dir.mkdir(parents=True, exist_ok=True)
        statistics = stack_statistics([image.statistics for image in self.images])
        metrics = summarise(statistics, self.definitions)
        groups = self._summarise_kinds()
        rows = self._rows(per_image_values(statistics, self.definitions))
        facts = {**self.facts, "images": len(self.images)}
        definitions = {name: definition.description for name, definition in self.definitions.items()}

        content = {**facts, "metrics": metrics, "by_kind": groups, "definitions": definitions}
        (self.output_dir / "metrics.json").write_text(json.dumps(_nan_to_null(content), indent=4) + "\n")
        with (self.output_dir / "metrics_per_image.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)

        key = self.headline[0]
        histogram = self.output_dir / "iou_histogram.png"
        draw_histogram([row[key] for row in rows], histogram, label=key)
        figures = {f"{key} of every image": histogram}
        curve = self._file_of_training("iou_curve.png")
        if curve:
            figures = {"foreground IoU during training": curve, **figures}
        write_report(
            self.output_dir / "report.html",
            title=self.title,
            facts=facts,
            headline=self.headline,
            metrics=metrics,
            definitions=definitions,
            figures=figures,
            pictures=self._choose_pictures(rows),
            groups={kind: {name: scores[name] for name in self.headline} for kind, scores in groups.items()},
            per_image=[
                {name: row[name] for name in ("id", "kind", "true_objects", "pred_objects", *self.headline)}
                for row in rows
            ],
        )
        self._keep_for_comparisons(statistics)
        for name in self.headline:
            low, high = metrics[name]["interval_95"]
            logger.info("%s %.4f (95 %% interval %.4f to %.4f)", name, metrics[name]["value"], low, high)
        logger.info("report: %s", self.output_dir / "report.html")

    def _keep_for_comparisons(self, statistics: Mapping[str, torch.Tensor]) -> None:
        kept_curve, curve = self.output_dir / CURVE_FILE, self._file_of_training("iou_curve.csv")
        kept_curve.unlink(missing_ok=True)  # it may be that of other weights
        if curve:
            shutil.copyfile(curve, kept_curve)
        data_set = read_dataset_json(self.dataset_dir).get("name") if self.dataset_dir else None
        save_run(
            EvaluatedRun(
                folder=self.output_dir,
                model=_model_name(self.bundle_root) if self.bundle_root else "",
                data_set=str(data_set or self.title),
                class_names=self.class_names,
                facts=self.facts,
                ids=[image.id for image in self.images],
                kinds=[image.kind for image in self.images],
                truth_digests=[image.truth_digest for image in self.images],
                statistics=statistics,
            )
        )

    def _file_of_training(self, name: str) -> Path | None:
        folders = [self.training_dir or self.output_dir]
        if self.bundle_root and folders[0].resolve() == (self.bundle_root / "models").resolve():
            folders.append(self.bundle_root / "docs")
        return next((folder / name for folder in folders if (folder / name).is_file()), None)

    def _gather(self) -> None:
        """Bring the images of all processes together, in order of their ids."""
        if torch.distributed.is_initialized():
            parts: list[list[EvaluatedImage]] = [[] for _ in range(torch.distributed.get_world_size())]
            torch.distributed.all_gather_object(parts, self.images)
            self.images = [image for part in parts for image in part]
        self.images.sort(key=lambda image: image.id)

    def _summarise_kinds(self) -> dict[str, dict[str, dict[str, Any]]]:
        kinds = sorted({image.kind for image in self.images})
        if kinds == [""]:
            return {}
        return {
            kind: summarise(
                stack_statistics([image.statistics for image in self.images if image.kind == kind]), self.definitions
            )
            for kind in kinds
        }

    def _rows(self, values: Mapping[str, torch.Tensor]) -> list[dict[str, Any]]:
        return [
            {
                "id": image.id,
                "kind": image.kind,
                "true_objects": image.true_objects,
                "pred_objects": image.pred_objects,
                **{name: float(column[index]) for name, column in values.items()},
            }
            for index, image in enumerate(self.images)
        ]

    def _choose_pictures(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, Path]]:
        ranked = sorted(rows, key=lambda row: row[self.headline[0]])
        few = max(self.pictures // 3, 1)
        middle = len(ranked) // 2
        chosen = {row["id"]: row for row in [*ranked[: self.pictures], *ranked[middle : middle + few], *ranked[-few:]]}
        return [
            (
                f"{name}: {self.headline[0]} {row[self.headline[0]]:.3f}, "
                f"{row['true_objects']} true and {row['pred_objects']} predicted objects",
                self._picture_of(name),
            )
            for name, row in chosen.items()
        ]

    def _picture_of(self, name: str) -> Path:
        return self.output_dir / "comparisons" / f"{name}.png"


def _model_name(bundle_root: Path) -> str:
    """Read a bundle's name from its metadata, else take that of its folder."""
    file = bundle_root / "configs" / "metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return str(metadata.get("name") or bundle_root.resolve().name)


def _nan_to_null(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: _nan_to_null(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_nan_to_null(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6f}"
    return value
