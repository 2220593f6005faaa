"""Lay out the table that a preparation ends with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def summary(dataset: Mapping[str, Any]) -> str:
    """Lay out the table that a preparation ends with.

    Args:
        dataset: the content of dataset.json.
    """
    lines = [f"{dataset['name']:<12}{'images':>8}{'objects':>10}"]
    counts = dict(dataset["counts"])
    total = {key: sum(count[key] for count in counts.values()) for key in ("images", "objects")}
    for section, count in (counts | {"total": total}).items():
        lines.append(f"{section:<12}{count['images']:>8}{count['objects']:>10}")
    lines.append("skipped:" + ("" if dataset["skipped"] else " nothing"))
    lines += [f"{len(names):>6}  {reason}, e.g. {names[0]}" for reason, names in dataset["skipped"].items()]
    lines.append(f"pixels claimed by more than one {dataset['object']}: {dataset['overlap_px']}")
    if without := dataset["without_group"]:
        lines.append(f"images not in the groups file, each a group by itself: {len(without)}, e.g. {without[0]}")
    return "\n".join(lines)
