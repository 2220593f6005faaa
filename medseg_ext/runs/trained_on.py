"""Say on which data the weights of an evaluation were trained."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

from medseg_ext.errors import DataError
from medseg_ext.runs.provenance import describe_data_set, provenance_file, read_provenance

logger = logging.getLogger(__name__)


class TrainedOn(NamedTuple):
    """The data that weights were trained on.

    Attributes:
        name: of the data set; empty where nothing tells.
        is_evaluated: whether it is the data set of the evaluation, of whatever section.
    """

    name: str = ""
    is_evaluated: bool = False


def read_trained_on(training_dir: Path, bundle: Path | None, *, dataset_dir: Path | None, data_set: str) -> TrainedOn:
    """Read what weights were trained on: of the training's record beside them, or of the bundle that they are part of.

    Args:
        training_dir: folder of the weights.
        bundle: folder of the bundle, whose metadata tell of the weights in its `models`.
        dataset_dir: the data set folder that is evaluated on; None where there is none.
        data_set: its name.
    """
    record = _record(training_dir)
    if record is not None:
        trained = record["data_set"] or {}
        name = str(trained.get("name") or Path(record["settings"]["dataset_dir"]).name)
        digests = {trained.get("sha256"), describe_data_set(dataset_dir)["sha256"] if dataset_dir else None}
        return TrainedOn(name, name == data_set if None in digests else len(digests) == 1)
    name = _name_in_metadata(bundle) if bundle and training_dir.resolve() == (bundle / "models").resolve() else ""
    return TrainedOn(name, bool(name) and name == data_set)


def _record(training_dir: Path) -> dict[str, Any] | None:
    if not provenance_file(training_dir, "train").is_file():
        return None
    try:
        return read_provenance(training_dir, "train")
    except DataError as error:  # no reason to lose an evaluation
        logger.warning("%s", error)
        return None


def _name_in_metadata(bundle: Path) -> str:
    file = bundle / "configs" / "metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    weights = metadata.get("weights")  # of `medseg ship`
    if weights is not None:
        return str((weights.get("data_set") or {}).get("name") or "")
    return str(metadata.get("data_set") or "")
