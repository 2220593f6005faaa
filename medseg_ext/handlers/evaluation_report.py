"""Hand what an evaluator finds to an evaluation."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from medseg_ext.images.read import read_prepared
from medseg_ext.objects.diameters import DIAMETER, noted_sizes
from medseg_ext.pages.evaluation_page import TrainingShown, first_figures, write_report
from medseg_ext.pages.found_and_missed import write_found_and_missed
from medseg_ext.processes import gather_objects, is_first_process
from medseg_ext.runs.comparison_tables import TOO_FEW
from medseg_ext.runs.evaluation import EvaluatedImage, Evaluation, write_metrics
from medseg_ext.runs.provenance import Provenance
from medseg_ext.runs.run_files import CSV_FILE, PICTURE_FILE
from medseg_ext.runs.training_curve import find_training_file, how_it_ended

logger = logging.getLogger(__name__)


class EvaluationReport:
    """Hand each image of an evaluator to an `Evaluation`, and write its files and `report.html` at the end.

    Attach it to an evaluator whose data have an `id`, and whose output has `pred_instances`, `pred_classes`,
    `true_instances` and `true_classes` at the size of the original image, and `pred_scores`, if they are known. Data
    may have a `kind` and a `group`: those of one group, such as a mosaic or a patient, are drawn together for the
    intervals. With several processes, the first one gathers and writes.

    Args:
        output_dir: folder of the files.
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        title: heading of the report, to which the name of the data set is added.
        facts: what was evaluated, for the report and the JSON, such as data set and checkpoint.
        headline: metrics shown large; the first one ranks the images.
        training_dir: where `iou_curve.png` and `.csv` of the training may be, to be shown in the report and kept; by
            default `output_dir`; "" is the current folder. For the weights in a bundle's `models` they may be in its
            `docs`.
        pictures: how many of the worst images to show; a third as many of the middle and of the best are shown too.
        bundle_root: the bundle, whose metadata name the model; without it the model has no name.
        dataset_dir: the data set folder, whose `dataset.json` names the data set; without it the title stands for it.
        provenance: what the evaluation is made with, which is written when it starts.

    Raises:
        ValueError: the headline names no metrics.
    """

    def __init__(
        self,
        output_dir: str,
        *,
        class_names: Sequence[str],
        object_name: str = "object",
        title: str = "Evaluation",
        facts: Mapping[str, Any] | None = None,
        headline: Sequence[str] = ("foreground_iou", "ap_50", "pq", "aji"),
        training_dir: str | None = None,
        pictures: int = 6,
        bundle_root: str | None = None,
        dataset_dir: str | None = None,
        provenance: Provenance | None = None,
    ) -> None:
        self.provenance = provenance
        self.output_dir = Path(output_dir)
        self.evaluation = Evaluation(
            self.output_dir,
            class_names=class_names,
            facts=facts or {},
            title=title,
            training_dir=Path(training_dir) if training_dir is not None else self.output_dir,
            bundle=Path(bundle_root) if bundle_root else None,
            dataset_dir=Path(dataset_dir) if dataset_dir else None,
        )
        unknown = [name for name in headline if name not in self.evaluation.definitions]
        if unknown:
            raise ValueError(f"headline must name metrics of {list(self.evaluation.definitions)}, got {unknown}")
        self.title = title
        self.object_name = object_name
        self.headline = list(headline)
        self.pictures = pictures

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.compare)
        engine.add_event_handler(Events.COMPLETED, self.write)

    def start(self, engine: Engine) -> None:
        """Forget the images of an earlier run, and write what this one is made with."""
        self.evaluation.images.clear()
        if is_first_process():
            self.evaluation.start()
        if self.provenance:
            self.provenance.write()

    def compare(self, engine: Engine) -> None:
        """Compare the images of one iteration with the truth, and draw each."""
        state: Any = engine.state  # after MONAI's postprocessing both are lists of dicts
        for item, prediction in zip(state.batch, state.output, strict=True):
            names = [f"{side}_{label_map}" for label_map in ("instances", "classes") for side in ("pred", "true")]
            maps = {name: torch.as_tensor(prediction[name]) for name in names}
            sizes = noted_sizes(getattr(prediction.get("image"), "meta", {}))
            diameter = sizes.get(DIAMETER, math.nan)
            comparison = self.evaluation.add(
                item["id"],
                str(item.get("kind", "")),
                **maps,
                pred_scores=prediction.get("pred_scores"),
                group=str(item.get("group", "")),
                object_diameter_px=diameter,
            )
            matched_pred, matched_true = comparison.matched_ids
            write_found_and_missed(
                self.output_dir,
                item["id"],
                read_prepared(item["image"].meta["filename_or_obj"]),
                np.asarray(maps["pred_instances"])[0],
                np.asarray(maps["true_instances"])[0],
                matched_pred=matched_pred.numpy(),
                matched_true=matched_true.numpy(),
            )

    def write(self, engine: Engine) -> None:
        """Write all files."""
        evaluation = self.evaluation
        evaluation.images = gathered(evaluation.images)
        if not is_first_process():
            return
        self.output_dir.mkdir(parents=True, exist_ok=True)
        if self.provenance:
            self.provenance.note_engine()
        summary = evaluation.summarise()
        write_metrics(summary, self.output_dir)
        page = write_report(
            self.output_dir,
            summary,
            title=", ".join([self.title, *filter(None, [self.evaluation.data_set_name])]),
            headline=self.headline,
            object_name=self.object_name,
            training=self._training(),
            pictures=self.pictures,
        )
        evaluation.finish(summary)
        for name in self.headline:
            low, high = summary.metrics[name]["interval_95"]
            interval = TOO_FEW if math.isnan(low) else f"95 % interval {low:.4f} to {high:.4f}"
            logger.info("%s %.4f (%s)", name, summary.metrics[name]["value"], interval)
        for sentence in first_figures(summary, self.object_name):
            logger.info("%s", sentence)
        logger.info("report: %s", page)

    def _training(self) -> TrainingShown | None:
        evaluation = self.evaluation
        picture, curve = (
            find_training_file(file, evaluation.training_dir, evaluation.bundle) for file in (PICTURE_FILE, CSV_FILE)
        )
        if picture is None:
            return None
        return TrainingShown(picture, evaluation.trained_on.name, how_it_ended(curve) if curve else "")


def gathered(images: Sequence[EvaluatedImage]) -> list[EvaluatedImage]:
    """Bring the images of all processes together, each once, in order of their ids.

    Two processes may have one image: a sampler gives all of them as many.
    """
    by_id = {image.id: image for part in gather_objects(images) for image in part}
    return [by_id[name] for name in sorted(by_id)]
