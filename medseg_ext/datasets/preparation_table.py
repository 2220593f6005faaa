"""Lay out the table that a preparation ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medseg_ext.datasets.data_set_folder import NOT_STATED


def summary(dataset: Mapping[str, Any]) -> str:
    """Lay out the table that a preparation ends with.

    Args:
        dataset: the content of dataset.json.
    """
    lines = [f"{dataset['name']:<11} {'images':>8}{'objects':>10}"]
    counts = dict(dataset["counts"])
    total = {key: sum(count[key] for count in counts.values()) for key in ("images", "objects")}
    for section, count in (counts | {"total": total}).items():
        lines.append(f"{section:<12}{count['images']:>8}{count['objects']:>10}")
    lines.append("skipped:" + ("" if dataset["skipped"] else " nothing"))
    lines += [f"{len(names):>6}  {reason}, e.g. {names[0]}" for reason, names in dataset["skipped"].items()]
    lines.append(f"pixels claimed by more than one {dataset['object']}: {dataset['overlap_px']}")
    for key, verb in (("labelled", "are labelled"), ("taken", "were taken")):
        if both := dataset.get(key):  # folders of an earlier version have none
            lines.append(f"{both['objects']} objects of {both['area_px']} px together {verb}")
    for each in dataset.get("classes_of_objects", ()):
        taken = f"taken for {each['taken_for']}" if each["taken_for"] else "left out"
        lines.append(f"{each['objects']:>6}  objects of the class {each['class']}, {taken}")
    if told := dataset.get("told"):
        lines.append("to look at, as it may be meant otherwise:")
        lines += [f"{len(names):>6}  {reason}, e.g. {names[0]}" for reason, names in told.items()]
    lines += [f"{key}: {dataset[key]} (--{key} says it)" for key in ("licence", "origin") if dataset[key] == NOT_STATED]
    if without := dataset["without_group"]:
        lines.append(f"images not in the groups file, each a group by itself: {len(without)}, e.g. {without[0]}")
    return "\n".join(lines)
