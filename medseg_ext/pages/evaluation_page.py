"""Write the report of an evaluation as one HTML file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from medseg_ext.files import write_atomically
from medseg_ext.metrics.bootstrap import LEAST_GROUPS
from medseg_ext.metrics.calibration import ReliabilityBin
from medseg_ext.metrics.score_calibration import LEAST_OBJECTS
from medseg_ext.pages.data_urls import picture_as_data
from medseg_ext.pages.found_and_missed import LEGEND
from medseg_ext.pages.plots import draw_histogram, draw_reliability
from medseg_ext.pages.templating import fill_template
from medseg_ext.runs.comparison_tables import TOO_FEW
from medseg_ext.runs.evaluation import EvaluationSummary
from medseg_ext.runs.run_folder import picture_path

REPORT_FILE, HISTOGRAM_FILE, RELIABILITY_FILE = "report.html", "iou_histogram.png", "reliability.png"


class TrainingShown(NamedTuple):
    """What a report shows of the training that the weights come from.

    Attributes:
        curve: picture of its curve.
        data_set: name of its data; may be empty.
        sentence: which weights it kept; may be empty.
    """

    curve: Path
    data_set: str
    sentence: str


def write_report(
    folder: Path,
    summary: EvaluationSummary,
    *,
    title: str,
    headline: Sequence[str],
    object_name: str = "object",
    training: TrainingShown | None = None,
    pictures: int = 6,
) -> Path:
    """Write `report.html`, a self-contained page: all pictures are inside, no network is needed.

    Args:
        folder: the run's folder, which has the picture of each image.
        summary: what the evaluation found.
        title: heading.
        headline: names of the metrics shown large; the first one ranks the images.
        object_name: what an object is, such as "nucleus".
        training: of the weights, if there is a curve of it.
        pictures: how many of the worst images to show; a third as many of the middle and of the best are shown too.

    Returns:
        The page.
    """
    key = headline[0]
    histogram = folder / HISTOGRAM_FILE
    draw_histogram([row[key] for row in summary.rows], histogram, label=key)
    figures = {}
    if training:
        data = f" on {training.data_set}" if training.data_set else ""
        figures[f"foreground IoU during training{data}"] = training.curve
    figures[f"{key} of every image"] = histogram
    (folder / RELIABILITY_FILE).unlink(missing_ok=True)
    if bins := [ReliabilityBin(**each) for each in summary.scores["reliability"]]:
        draw_reliability({"": bins}, folder / RELIABILITY_FILE)
        figures[what_scores_mean(summary, object_name)] = folder / RELIABILITY_FILE
    shown = ("id", "kind", "true_objects", "pred_objects", *headline)
    content = {
        "title": title,
        "sentences": first_figures(summary, object_name),
        "training": training.sentence if training else "",
        "facts": summary.facts,
        "headline": headline,
        "metrics": summary.metrics,
        "definitions": summary.definitions,
        "figures": [(caption, picture_as_data(file)) for caption, file in figures.items()],
        "pictures": [
            (_caption(row, key), picture_as_data(picture_path(folder, row["id"])))
            for row in _choose(summary.rows, key, pictures)
        ],
        "kinds": {
            kind_text(kind, summary.kinds): {name: scores[name] for name in headline}
            for kind, scores in summary.by_kind.items()
        },
        "per_image": [
            {name: row[name] for name in shown} | {"kind": kind_text(row["kind"], summary.kinds)}
            for row in summary.rows
        ],
        "legend": {name: "rgb({}, {}, {})".format(*colour) for name, colour in LEGEND.items()},
    }
    page = folder / REPORT_FILE
    text = fill_template("report.html", content, filters={"number": _number, "interval": _interval})
    write_atomically(page, text)
    return page


def first_figures(summary: EvaluationSummary, object_name: str) -> list[str]:
    """Say in sentences what an evaluation found, before all figures."""
    objects, names = summary.objects, plural(object_name)
    images = summary.facts["images"]
    missed, spurious = objects["missed"], objects["spurious"]
    found = f"{objects['found']} of {objects['true']} {names} found, {missed} missed, {spurious} spurious"
    by_whom = f", by {summary.model}" if summary.model else ""
    sentences = [f"{found}, in {images} image{'' if images == 1 else 's'}{by_whom}, {date.today():%Y-%m-%d}."]
    if summary.facts["groups"] < LEAST_GROUPS:
        sentences.append(
            f"The images are of {summary.facts['groups']} group{'' if summary.facts['groups'] == 1 else 's'}: below "
            f"{LEAST_GROUPS} there are {TOO_FEW} for an interval, and figures of others may differ much."
        )
    return sentences


def what_scores_mean(summary: EvaluationSummary, object_name: str) -> str:
    """Say in sentences how far the scores of predicted objects are right; there is one at least."""
    scores, names = summary.scores, plural(object_name)
    fullest = max(scores["reliability"], key=lambda each: each["objects"])
    error = scores["expected_calibration_error"]
    text = (
        f"Scores of {scores['objects']} {names}. Of {fullest['objects']} with a score of about "
        f"{fullest['mean_score']:.2f}, {100 * fullest['right']:.0f} % are right: they overlap a true one with an IoU "
        f"of at least 0.5. Expected calibration error {error['value']:.3f} ({_interval(error['interval_95'])})."
    )
    if scores["objects"] < LEAST_OBJECTS:
        text += f" Below {LEAST_OBJECTS} {names} these are too few to judge scores by."
    return text


def plural(name: str) -> str:
    """Name several objects.

    >>> plural("nucleus"), plural("cell")
    ('nuclei', 'cells')
    """
    return f"{name[:-2]}i" if name.endswith("us") else f"{name}s"


def kind_text(kind: str, descriptions: Mapping[str, str]) -> str:
    """Describe a kind of image as a bundle's metadata do.

    >>> kind_text("a", {"a": "fluorescence"}), kind_text("b", {})
    ('a: fluorescence', 'b')
    """
    return f"{kind}: {descriptions[kind]}" if descriptions.get(kind) else kind


def _choose(rows: Sequence[Mapping[str, Any]], key: str, pictures: int) -> list[Mapping[str, Any]]:
    """Choose the worst images, some of the middle and some of the best, each once."""
    ranked = sorted(rows, key=lambda row: row[key])
    few = max(pictures // 3, 1)
    middle = len(ranked) // 2
    chosen = {row["id"]: row for row in [*ranked[:pictures], *ranked[middle : middle + few], *ranked[-few:]]}
    return list(chosen.values())


def _caption(row: Mapping[str, Any], key: str) -> str:
    return f"{row['id']}: {key} {row[key]:.3f}, {row['true_objects']} true and {row['pred_objects']} predicted objects"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return str(value)


def _interval(bounds: Sequence[float]) -> str:
    """Write an interval, or that there are too few images for it."""
    return TOO_FEW if any(math.isnan(bound) for bound in bounds) else f"{_number(bounds[0])} to {_number(bounds[1])}"
