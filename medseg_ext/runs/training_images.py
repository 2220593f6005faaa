"""Measure the images of a training."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from tqdm import tqdm

from medseg_ext.datasets.data_set_folder import load_datalist
from medseg_ext.datasets.parallel import parallel_map
from medseg_ext.images.read import read_labels, read_prepared
from medseg_ext.objects.diameters import typical_diameter
from medseg_ext.objects.training_images import TRAINING_IMAGES_FILE, TrainingImages, measures

logger = logging.getLogger(__name__)


def write_training_images(dataset_dir: Path | str, output_dir: Path | str, *, workers: int | None = 1) -> Path:
    """Measure the images of a data set's training and validation, and write `training_images.json`.

    By it, an inference tells images that are unlike those that the weights beside it were trained on.

    Args:
        dataset_dir: the data set folder.
        output_dir: folder of the file; made when needed.
        workers: number of processes; all cores if None.

    Returns:
        The file.

    Raises:
        DataError: the data set folder cannot be used.
    """
    sections = {section: load_datalist(dataset_dir, section) for section in ("training", "validation")}
    items = [item for section in sections.values() for item in section]
    with closing(parallel_map(partial(_make_measure), items, workers=workers)) as results:
        bar = tqdm(results, total=len(items), desc="measuring images", unit=" images", leave=False, disable=None)
        measured = list(bar)
    count = len(sections["training"])
    path = Path(output_dir) / TRAINING_IMAGES_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    known = TrainingImages.of(measured[:count], measured[count:])
    if not known.can_tell:
        logger.info(
            "%d images are too few to tell which others are unlike them: images segmented by these weights get no such "
            "remark", len(items),
        )  # fmt: skip
    known.write(path)
    return path


def _make_measure() -> Callable[[Mapping[str, str]], dict[str, float]]:
    return measure_item


def measure_item(item: Mapping[str, str]) -> dict[str, float]:
    """Measure an image of a data set folder, with the size of its true objects."""
    diameter = typical_diameter(read_labels(item["instances"]))
    return measures(read_prepared(item["image"]), math.nan if diameter is None else diameter)
