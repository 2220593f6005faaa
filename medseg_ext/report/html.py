"""Write the report of an evaluation as one HTML file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg_ext.report.embed import picture_as_data
from medseg_ext.report.outlines import LEGEND
from medseg_ext.report.page import fill_template


def write_report(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, Any],
    headline: Sequence[str],
    metrics: Mapping[str, Mapping[str, Any]],
    definitions: Mapping[str, str],
    figures: Mapping[str, Path],
    pictures: Sequence[tuple[str, Path]],
    groups: Mapping[str, Mapping[str, Mapping[str, Any]]],
    per_image: Sequence[Mapping[str, Any]],
) -> None:
    """Write a self-contained page: all pictures are inside, no network is needed.

    Args:
        path: the HTML file.
        title: heading.
        facts: what was evaluated, by name.
        headline: names of the metrics shown large.
        metrics: of each metric `value`, `interval_95` and `images`, as `medseg_ext.metrics.summarise` gives them.
        definitions: a line on each metric.
        figures: caption and PNG of each figure.
        pictures: caption and PNG of example images, in order.
        groups: the headline metrics for parts of the images, such as kinds of microscopy; may be empty.
        per_image: one row an image, for the table at the end.
    """
    content = {
        "title": title,
        "facts": facts,
        "headline": headline,
        "metrics": metrics,
        "definitions": definitions,
        "figures": [(caption, picture_as_data(file)) for caption, file in figures.items()],
        "pictures": [(caption, picture_as_data(file)) for caption, file in pictures],
        "groups": groups,
        "per_image": per_image,
        "legend": {name: "rgb({}, {}, {})".format(*colour) for name, colour in LEGEND.items()},
    }
    page = fill_template("report.html", content, filters={"number": _number, "interval": _interval})
    path.write_text(page, encoding="utf-8")


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def _interval(bounds: Sequence[float]) -> str:
    """Write an interval; a single image has none."""
    return "" if any(math.isnan(bound) for bound in bounds) else f"{_number(bounds[0])} to {_number(bounds[1])}"
