"""Lay out the table that a preparation ends with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from medseg_ext.datasets.data_set_folder import DATASET_FILE, NOT_STATED
from medseg_ext.datasets.own_objects import LOBES, NO_CLASS

NOTE_OF_LOBES = " (medseg check, which also asks for a waist, names fewer)"
NAMED = 3  # of rows without an image
IN_PLURAL = {  # of the reasons that a preparation gives, as they begin or go on
    r"^(object|image|mask|file|link|cell|label map)\b": r"\1s",
    r"^nucleus\b": "nuclei",
    r"^(files in images|images that the COCO file names, and) that is\b": r"\1 that are",
    r": it was\b": ": each was",
    r"\bso that it may\b": "so that they may",
    r"\bits (own|file)\b": r"their \1",
}


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
    lines.append(f"skipped{_all_names('skipped')}:" if dataset["skipped"] else "skipped: nothing")
    lines += map(_row, dataset["skipped"].items())
    lines.append(f"pixels claimed by more than one {dataset['object']}: {dataset['overlap_px']}")
    for key, verb in (("labelled", "are labelled"), ("taken", "were taken")):
        if both := dataset.get(key):  # folders of an earlier version have none
            lines.append(f"{both['objects']} objects of {both['area_px']} px together {verb}")
    for each in dataset.get("classes_of_objects", ()):
        is_one = each["objects"] == 1
        which = "without a class" if each["class"] == NO_CLASS else f"of the class {each['class']}"
        part = each["taken_for"]
        taken = f"taken for {f'a {part}' if is_one else several(part)}" if part else "left out"
        lines.append(f"{each['objects']:>6}  {'object' if is_one else 'objects'} {which}, {taken}")
    if told := dataset.get("told"):
        lines.append(f"to look at, as it may be meant otherwise{_all_names('told')}:")
        lines += map(_row, told.items())
    lines += [f"{key}: {dataset[key]} (--{key} says it)" for key in ("licence", "origin") if dataset[key] == NOT_STATED]
    if without := dataset["without_group"]:
        lines.append(f"images not in the groups file, each a group by itself: {len(without)}, e.g. {without[0]}")
    if no_image := dataset.get("groups_without_image"):
        few = ", ".join(no_image[:NAMED])
        more = f" and {len(no_image) - NAMED} more" if len(no_image) > NAMED else ""
        lines.append(f"rows of the groups file that name no image with labels: {len(no_image)}, {few}{more}")
    return "\n".join(lines)


def several(reason: str) -> str:
    """Say in the plural why objects or files are told.

    >>> several("object of fewer than 9 px"), several("nucleus")
    ('objects of fewer than 9 px', 'nuclei')
    """
    for pattern, text in IN_PLURAL.items():
        reason = re.sub(pattern, text, reason)
    return reason


def _row(entry: tuple[str, Sequence[str]]) -> str:
    reason, names = entry
    note = NOTE_OF_LOBES if reason == LOBES else ""
    return f"{len(names):>6}  {reason if len(names) == 1 else several(reason)}{note}, e.g. {names[0]}"


def _all_names(key: str) -> str:
    return f" (all names: {DATASET_FILE}, {key})"
