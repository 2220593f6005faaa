"""Run weights with those settings of their training that decide what the network is, and what it sees."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medseg_ext.bundle.fine_tuning import Plan
from medseg_ext.bundle.keys import read_defaults
from medseg_ext.runs.provenance import provenance_file, read_provenance

OF_NETWORK = (
    "class_names", "object_name", "working_diameter_px", "contrast_percentiles", "variant", "backbone_depth",
    "anchor_sizes_px", "channel",
)  # fmt: skip


def network_settings(settings: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Give the keys that decide what a network is, and what it sees, as far as a training had others than a config.

    >>> network_settings({"class_names": ["background", "cell"], "seed": 1}, {"class_names": ["background"], "seed": 0})
    {'class_names': ['background', 'cell']}
    """
    shared = [key for key in OF_NETWORK if key in settings and key in config]
    return {key: settings[key] for key in shared if settings[key] != config[key]}


def plan_for_weights(bundle: Path, given: Mapping[str, Any], workflow: str) -> Plan:
    """Plan what is not given for an evaluation or an inference by weights of a training, whose record lies beside them.

    Args:
        bundle: the bundle's folder.
        given: values of the config's keys.
        workflow: name of the config file, such as "evaluate".

    Raises:
        DataError: the record is broken.
    """
    weights = given.get("ckpt_path")
    if not weights or not provenance_file(Path(weights).parent, "train").is_file():
        return Plan({}, [])
    trained = read_provenance(Path(weights).parent, "train")["settings"]
    found = network_settings(trained, read_defaults(bundle / "configs" / f"{workflow}.json"))
    planned = {key: value for key, value in found.items() if key not in given}
    lines = [f"as {weights} was trained: {key} {value}" for key, value in planned.items()]
    return Plan(planned, lines)
