"""Run weights with those settings of their training that decide what the network is, and what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg_ext.bundle.fine_tuning import OF_NETWORK, WHERE_NOT_RECORDED, Plan
from medseg_ext.bundle.keys import read_defaults
from medseg_ext.bundle.score_settings import score_settings, whose_scores
from medseg_ext.files import WEIGHTS_FILE
from medseg_ext.networks.weight_files import REMEDY, refuse_no_weights
from medseg_ext.runs.provenance import provenance_file, read_provenance


def network_settings(settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the keys that decide what a network is, and what it sees, as far as a training had others than a config.

    >>> network_settings({"class_names": ["background", "cell"], "seed": 1}, {"class_names": ["background"], "seed": 0})
    {'class_names': ['background', 'cell']}
    """
    settings = WHERE_NOT_RECORDED | dict(settings) if settings else {}
    shared = [key for key in OF_NETWORK if key in settings and key in config]
    return {key: settings[key] for key in shared if settings[key] != config[key]}


def plan_for_weights(bundle: Path, given: Mapping[str, Any], workflow: str) -> Plan:
    """Plan what is not given for an evaluation or an inference by other weights than the bundle's own.

    What decides what a network sees is told by the record of a training beside the weights, how scores are calibrated
    by its `score_calibration.json`; without one they stay as the network gives them.

    Args:
        bundle: the bundle's folder.
        given: values of the config's keys.
        workflow: name of the config file, such as "evaluate".

    Raises:
        DataError: there are no such weights, or their record is broken.
    """
    weights = given.get("ckpt_path")
    if weights:
        refuse_no_weights(Path(weights), remedy=REMEDY)
    if not weights or Path(weights).resolve() == (bundle / WEIGHTS_FILE).resolve():
        return Plan({}, [])
    config, folder = read_defaults(bundle / "configs" / f"{workflow}.json"), Path(weights).parent
    trained = read_provenance(folder, "train")["settings"] if provenance_file(folder, "train").is_file() else {}
    of_network = {key: value for key, value in network_settings(trained, config).items() if key not in given}
    of_scores = {key: value for key, value in score_settings(Path(weights), config).items() if key not in given}
    lines = [f"as {weights} was trained: {key} {value}" for key, value in of_network.items()]
    if of_scores:
        texts = ", ".join(f"{key} {value}" for key, value in of_scores.items())
        lines.append(f"scores, as {whose_scores(Path(weights))}: {texts}")
    return Plan(of_network | of_scores, lines)
