"""Write the files of a comparison of runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from medseg_ext.files import write_atomically
from medseg_ext.folder_lock import FolderLock
from medseg_ext.pages.comparison_pictures import RULE, write_pictures
from medseg_ext.pages.data_urls import picture_as_data
from medseg_ext.pages.panels import LEGEND
from medseg_ext.pages.plots import draw_curves
from medseg_ext.pages.templating import fill_template
from medseg_ext.runs.comparison_tables import (
    NOTES,
    OBJECTS,
    best_shown,
    bounds_text,
    comparison_csv,
    comparison_markdown,
    definitions_of,
    difference_text,
    headline_rows,
    object_rows,
    without_intervals,
)
from medseg_ext.runs.run_comparison import HEADLINE, DataSetComparison
from medseg_ext.runs.training_curve import Curve, read_curve


def write_comparison(comparisons: Sequence[DataSetComparison], output_dir: Path) -> Path:
    """Write `comparison.html`, `.md` and `.csv`, `curves_<data set>.png` and `pictures/`.

    Args:
        comparisons: one a data set.
        output_dir: folder of the files; made when needed.

    Returns:
        The HTML file: all pictures are inside, no network is needed.

    Raises:
        DataError: a run folder lacks a picture or a label map, or its curve is broken.
    """
    with FolderLock(output_dir, what="a comparison"):
        return _write(comparisons, output_dir)


def _write(comparisons: Sequence[DataSetComparison], output_dir: Path) -> Path:
    curves: dict[str, Path] = {}
    pictures: dict[str, dict[Path, str]] = {}
    without_curve: dict[str, list[str]] = {}
    for comparison in comparisons:
        data_set, stem = comparison.data_set, re.sub(r"[^\w.-]+", "_", comparison.data_set)
        drawable, without_curve[data_set] = _curves_of(comparison)
        if drawable:
            curves[data_set] = output_dir / f"curves_{stem}.png"
            draw_curves({data_set: drawable}, curves[data_set])
        pictures[data_set] = write_pictures(comparison, output_dir / "pictures", stem=stem)

    write_atomically(output_dir / "comparison.csv", comparison_csv(comparisons))
    markdown = comparison_markdown(
        comparisons,
        curves={data_set: path.name for data_set, path in curves.items()},
        without_curve=without_curve,
        pictures={
            data_set: {f"pictures/{path.name}": caption for path, caption in files.items()}
            for data_set, files in pictures.items()
        },
        rule=RULE,
    )
    write_atomically(output_dir / "comparison.md", markdown)
    page = output_dir / "comparison.html"
    write_atomically(page, _html(comparisons, curves, without_curve, pictures))
    return page


def _curves_of(comparison: DataSetComparison) -> tuple[dict[str, Curve], list[str]]:
    """Give the curves of trainings on the data that are compared, and lines on the runs that have none such."""
    curves: dict[str, Curve] = {}
    without, elsewhere, unknown = [], [], []
    for name, run in comparison.runs.items():
        curve = read_curve(run.folder)
        if curve is None:
            without.append(name)
        elif run.trained_on.is_evaluated:
            curves[name] = curve
        elif run.trained_on.name:
            elsewhere.append(f"{name} ({run.trained_on.name})")
        else:
            unknown.append(name)
    reasons = {
        "the evaluation found no iou_curve.csv beside the checkpoint": without,
        "the training was on other data": elsewhere,
        "nothing tells on which data the training was": unknown,
    }
    return curves, [f"No curve, because {reason}: {', '.join(names)}." for reason, names in reasons.items() if names]


def _html(
    comparisons: Sequence[DataSetComparison],
    curves: Mapping[str, Path],
    without_curve: Mapping[str, Sequence[str]],
    pictures: Mapping[str, Mapping[Path, str]],
) -> str:
    content = {
        "comparisons": comparisons,
        "headline": HEADLINE,
        "headline_rows": headline_rows(comparisons),
        "without_intervals": without_intervals(comparisons),
        "objects": OBJECTS,
        "object_rows": object_rows(comparisons),
        "curves": {data_set: picture_as_data(path) for data_set, path in curves.items()},
        "without_curve": without_curve,
        "pictures": {
            data_set: [(caption, picture_as_data(path)) for path, caption in files.items()]
            for data_set, files in pictures.items()
        },
        "legend": {name: "rgb({}, {}, {})".format(*colour) for name, colour in LEGEND.items()},
        "rule": RULE,
        "definitions": definitions_of(comparisons),
        "notes": NOTES,
    }
    filters: dict[str, Callable[..., str]] = {"best": best_shown, "bounds": bounds_text, "difference": difference_text}
    return fill_template("comparison.html", content, filters=filters)
