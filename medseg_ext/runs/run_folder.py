"""Keep what an evaluation found, so that runs can be compared without their data set.

What is in the folder of a training (its `output_dir`): `model.pt`, the best weights, and `checkpoint.pt`, all that a
resumed training needs (`medseg_ext.handlers.checkpoint`); `iou_curve.csv` and `.png`
(`medseg_ext.runs.training_curve`); `training_images.json`, by which an inference knows images that are unlike
(`medseg_ext.runs.training_images`); `score_calibration.json`, by which its scores are shares of objects that are right
(`medseg_ext.handlers.FittedScores`); `provenance_train.json`, what it was made with (`medseg_ext.runs.provenance`);
TensorBoard's events.

The files of an evaluation, beside those that are for people to read (`metrics.json`, `metrics_per_image.csv`,
`report.html`):

| file | what |
|---|---|
| `provenance_evaluate.json` | what it was made with (`medseg_ext.runs.provenance`) |
| `run.json` | `format`, `model`, `data_set`, `class_names`, `facts`, `trained_on`, `fingerprint` of images and truth |
| `statistics.npz` | per image, sorted by id: `ids`, `kinds`, `groups`, `truth_digests`; `statistics.<metric>` (N, K) |
| `predictions/<id>.tif`, `truths/<id>.tif` | label maps, at the size of the original image |
| `comparisons/<id>.png` | of which the first panel is the image, stretched for the eye |
| `training_curve.csv` | the training's `iou_curve.csv`, where there was one |

`statistics.npz` holds no pickled objects. Statistics are what `medseg_ext.metrics.image_statistics` gives: pooled
scores and their intervals can be computed from them, which the images' own scores do not allow.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from medseg_ext.errors import DataError
from medseg_ext.files import check_ids, write_atomically
from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.runs.run_files import EVALUATE_AGAIN, RUN_FILE, STATISTICS_FILE, refuse_no_evaluation
from medseg_ext.runs.trained_on import TrainedOn

FORMAT = 2  # 1 had no groups
KEPT_CURVE_FILE = "training_curve.csv"
STATISTICS_PREFIX = "statistics."


@dataclass(frozen=True)
class EvaluatedRun:
    """One model's evaluation.

    Attributes:
        folder: the run folder.
        model: name of the model, such as "U-Net"; may be empty.
        data_set: name of the data set, such as "DSB2018".
        class_names: name of each value of the class map, the background first.
        facts: what was evaluated, such as section and checkpoint.
        ids: the images, N of them.
        kinds: kind of each image; may be empty strings.
        groups: group of each image, such as its mosaic or patient; an empty string is an image by itself.
        truth_digests: `digest_of_truth` of each image.
        statistics: of each metric one row an image, float64 (N, K).
        trained_on: the data that the weights were trained on.
    """

    folder: Path
    model: str
    data_set: str
    class_names: Sequence[str]
    facts: Mapping[str, Any]
    ids: Sequence[str]
    kinds: Sequence[str]
    groups: Sequence[str]
    truth_digests: Sequence[str]
    statistics: Mapping[str, Tensor]
    trained_on: TrainedOn = field(default_factory=TrainedOn)

    @property
    def fingerprint(self) -> str:
        """One digest of all images, their groups and their truth; runs that differ in it cannot be paired."""
        images = zip(self.ids, self.groups, self.truth_digests, strict=True)
        return hashlib.sha256("".join(sorted(f"{' '.join(image)}\n" for image in images)).encode()).hexdigest()

    @property
    def objects(self) -> dict[str, int]:
        """How many objects of all images are `true`, `found` (IoU of at least 0.5), `missed` and `spurious`."""
        found, of_both = self.statistics["ap_50"].sum(dim=0).round().long().tolist()  # TP, and TP + FP + FN
        n_true = int(self.statistics["segpc_miou"][:, 1].sum().round())
        return {"true": n_true, "found": found, "missed": n_true - found, "spurious": of_both - n_true}

    def picture_path(self, image_id: str) -> Path:
        """Where the picture of an image is."""
        return picture_path(self.folder, image_id)

    def label_map_path(self, image_id: str, *, of_truth: bool = False) -> Path:
        """Where the predicted or the true label map of an image is."""
        return label_map_path(self.folder, image_id, of_truth=of_truth)


def picture_path(folder: Path, image_id: str) -> Path:
    """Name the file of the picture of an image in a run folder."""
    return folder / "comparisons" / f"{image_id}.png"


def label_map_path(folder: Path, image_id: str, *, of_truth: bool = False) -> Path:
    """Name the file of a label map in a run folder."""
    return folder / ("truths" if of_truth else "predictions") / f"{image_id}.tif"


def digest_of_truth(true_instances: np.ndarray, true_classes: np.ndarray) -> str:
    """Digest the truth of one image.

    Args:
        true_instances: label map, integers of any type, (H, W) or (1, H, W).
        true_classes: class map of the same height and width.

    Returns:
        SHA-256 over size and values, as hexadecimal digits.

    >>> square = np.ones((4, 4), np.uint8)
    >>> digest_of_truth(square, square) == digest_of_truth(square.astype(np.int32)[None], square)
    True
    >>> digest_of_truth(square, square) == digest_of_truth(2 * square, square)
    False
    """
    digest = hashlib.sha256(str(true_instances.shape[-2:]).encode())
    for label_map in (true_instances, true_classes):
        digest.update(label_map.astype("<i4").tobytes())
    return digest.hexdigest()


def save_run(run: EvaluatedRun) -> None:
    """Write `run.json` and `statistics.npz` into the run's folder; `run.json` comes last, as the sign of a whole run.

    Args:
        run: the run; its label maps and pictures are written by who makes them.
    """
    order = sorted(range(len(run.ids)), key=lambda position: run.ids[position])
    columns = {"ids": run.ids, "kinds": run.kinds, "groups": run.groups, "truth_digests": run.truth_digests}
    arrays = {name: np.array([column[position] for position in order], dtype=str) for name, column in columns.items()}
    for name, rows in run.statistics.items():
        arrays[STATISTICS_PREFIX + name] = rows[order].numpy()
    statistics = io.BytesIO()
    np.savez_compressed(statistics, allow_pickle=False, **arrays)
    write_atomically(run.folder / STATISTICS_FILE, statistics.getvalue())
    content = {
        "format": FORMAT,
        "model": run.model,
        "data_set": run.data_set,
        "class_names": list(run.class_names),
        "facts": {name: value if isinstance(value, (int, float)) else str(value) for name, value in run.facts.items()},
        "fingerprint": run.fingerprint,
        "trained_on": run.trained_on._asdict(),
    }
    write_atomically(run.folder / RUN_FILE, json.dumps(content, indent=4) + "\n")


def load_run(folder: Path) -> EvaluatedRun:
    """Read a run folder, its images sorted by id.

    Raises:
        DataError: there is no such folder, it is no run folder, a file is broken, or it comes from another version;
            names the folder and what to do.
    """
    refuse_no_evaluation(folder)
    try:
        content = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise DataError(f"{folder} has the format {content['format']}, expected {FORMAT}: {EVALUATE_AGAIN}")
        with np.load(folder / STATISTICS_FILE, allow_pickle=False) as file:
            arrays = dict(file)
        run = _run_from(folder, content, arrays)
        check_ids((name, f"{folder / STATISTICS_FILE}, image {number}") for number, name in enumerate(run.ids))
        is_whole = run.fingerprint == content["fingerprint"]
    except DataError:
        raise
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise DataError(f"{folder} is broken ({error}): {EVALUATE_AGAIN}") from error
    if not is_whole:
        raise DataError(f"{folder}: {RUN_FILE} and {STATISTICS_FILE} are not of one evaluation: {EVALUATE_AGAIN}")
    metrics = list(metrics_for(run.class_names))
    if list(run.statistics) != metrics or any(len(rows) != len(run.ids) for rows in run.statistics.values()):
        raise DataError(f"{folder} holds other metrics than this version of medseg_ext: {EVALUATE_AGAIN}")
    return run


def _run_from(folder: Path, content: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> EvaluatedRun:
    order = np.argsort(arrays["ids"], kind="stable")
    return EvaluatedRun(
        folder=folder,
        model=content["model"],
        data_set=content["data_set"],
        class_names=content["class_names"],
        facts=content["facts"],
        ids=arrays["ids"][order].tolist(),
        kinds=arrays["kinds"][order].tolist(),
        groups=arrays["groups"][order].tolist(),
        truth_digests=arrays["truth_digests"][order].tolist(),
        statistics={
            name.removeprefix(STATISTICS_PREFIX): torch.from_numpy(rows[order])
            for name, rows in arrays.items()
            if name.startswith(STATISTICS_PREFIX)
        },
        trained_on=TrainedOn(**content.get("trained_on", {})),  # which evaluations did not keep before
    )
