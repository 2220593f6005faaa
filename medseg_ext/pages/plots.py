"""Draw the curves and histograms of runs."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure, FigureBase  # not pyplot: no global state, no display
from matplotlib.ticker import MaxNLocator

from medseg_ext.files import write_atomically
from medseg_ext.metrics.calibration import ReliabilityBin
from medseg_ext.runs.training_curve import Curve

DASHES = ("-", "--", "-.", ":")


def draw_curves(panels: Mapping[str, Mapping[str, Curve]], path: Path) -> None:
    """Draw validation IoU over epochs, one panel a data set, one line a run, its best epoch marked.

    Args:
        panels: of each data set, which is the panel's heading, the curve of each run by name; at least one of each.
        path: the PNG to write; its folder is made when needed.
    """
    width_in = 8 if len(panels) == 1 else 6 * len(panels)
    figure = Figure(figsize=(width_in, 4.2), dpi=120, layout="constrained")
    for axes, (title, curves) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        # runs of one training have the same curve: dashes let the one below show through
        for (name, curve), dashes in zip(curves.items(), itertools.cycle(DASHES), strict=False):
            best_epoch, best_iou = max(curve, key=lambda point: point[1])
            label = f"{name}: {best_iou:.3f} at epoch {best_epoch}"
            (line,) = axes.plot(*zip(*curve, strict=True), dashes, label=label)
            axes.plot(best_epoch, best_iou, "o", color=line.get_color())
        axes.set(xlabel="epoch", ylabel="foreground IoU, validation", title=title)
        axes.set_ylim(top=min(1.0, axes.get_ylim()[1]))
        axes.grid(color="0.92")
        axes.legend(frameon=False, title="best epoch", loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    _save(figure, path)


def draw_iou_curve(
    rows: Sequence[dict[str, float]], path: Path, *, title: str = "", kept_epoch: int | None = None
) -> None:
    """Draw the IoU of training and validation over the epochs, and the panoptic quality of validation.

    Dots mark the scores of the weights that are kept.

    Args:
        rows: one dict an epoch with `epoch`, `train_iou`, `validation_iou` and `validation_pq`.
        path: the PNG to write.
        title: heading.
        kept_epoch: the epoch whose weights are kept; None where nothing tells: then dots mark the best of each score.
    """
    figure = Figure(figsize=(6.4, 4), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in rows]
    if not all(math.isnan(row["train_iou"]) for row in rows):  # a detector gives none in training
        axes.plot(epochs, [row["train_iou"] for row in rows], color="0.55", label="training (augmented crops)")
    axes.plot(epochs, [row["validation_iou"] for row in rows], color="tab:blue", label="validation (whole images)")
    qualities = [row["validation_pq"] for row in rows]
    axes.plot(epochs, qualities, color="tab:orange", label="panoptic quality (validation)")
    for name, colour in (("validation_iou", "tab:blue"), ("validation_pq", "tab:orange")):
        kept = [row for row in rows if row["epoch"] == kept_epoch]
        best = max(kept or rows, key=lambda row: -1 if math.isnan(row[name]) else row[name])
        axes.plot(best["epoch"], best[name], "o", color=colour)
        if not math.isnan(best[name]):
            axes.annotate(f"{best[name]:.3f}", (best["epoch"], best[name]), (0, 6), textcoords="offset points")
    if kept_epoch is not None:
        which = "0, the start" if kept_epoch == 0 else f"{kept_epoch}"
        axes.axvline(kept_epoch, color="0.4", linestyle=":", label=f"kept: epoch {which}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel="foreground IoU, panoptic quality", ylim=(0, 1), title=title)
    axes.grid(color="0.92")
    axes.legend(loc="lower right", frameon=False)
    _save(figure, path)


def draw_histogram(values: Sequence[float], path: Path, *, label: str) -> None:
    """Draw how a metric's values spread over the images.

    Args:
        values: one value in [0, 1] an image; NaN is left out.
        path: the PNG to write.
        label: name of the metric.
    """
    figure = Figure(figsize=(6.4, 3), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    defined = [value for value in values if value == value]
    axes.hist(defined, bins=[step / 20 for step in range(21)], color="tab:blue", edgecolor="white")
    axes.set(xlabel=f"{label} of an image", ylabel="images", xlim=(0, 1))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="0.92")
    axes.set_axisbelow(True)
    _save(figure, path)


def draw_reliability(curves: Mapping[str, Sequence[ReliabilityBin]], path: Path, *, title: str = "") -> None:
    """Draw which share of objects is right over their score, and how many there are; a dot of few is small.

    Args:
        curves: bins by name, at least one of each; an empty name has no legend.
        path: the PNG to write.
        title: heading.
    """
    figure = Figure(figsize=(5, 5), dpi=120, layout="constrained")
    draw_reliability_panel(figure, curves, title=title)
    _save(figure, path)


def draw_reliability_panel(
    part: FigureBase, curves: Mapping[str, Sequence[ReliabilityBin]], *, title: str = ""
) -> None:
    """Draw shares above numbers of objects into a figure, or into a part of one; see `draw_reliability`."""
    axes, counts = part.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], ":", color="0.5", label="as often as the score says")
    for name, bins in curves.items():
        points = [each.mean_score for each in bins], [each.right for each in bins]
        (line,) = axes.plot(*points, lw=1, alpha=0.6, label=name or None)
        most = max((each.objects for each in bins), default=1)
        axes.scatter(*points, s=[4 + 76 * each.objects / most for each in bins], color=line.get_color(), zorder=2)
        lows, widths = [each.low for each in bins], [each.high - each.low for each in bins]
        colour = line.get_color()
        counts.bar(lows, [each.objects for each in bins], widths, align="edge", alpha=0.5, color=colour)
    axes.set(ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.02), title=title)
    counts.set(xlabel="score of objects", ylabel="objects")
    for each in (axes, counts):
        each.grid(color="0.92")
        each.set_axisbelow(True)
    axes.legend(frameon=False, loc="upper left")


def _save(figure: Figure, path: Path) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_atomically(path, picture.getvalue())
