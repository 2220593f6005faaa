"""Draw the same image as several runs segment it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg_ext.files import write_atomically
from medseg_ext.metrics.summary import per_image_values
from medseg_ext.pages.panels import FONT_PX, PANEL_PX, result_panel, side_by_side, truth_panel
from medseg_ext.runs.run_comparison import HEADLINE, DataSetComparison
from medseg_ext.runs.run_folder import EvaluatedRun

RULE = (
    f"Chosen by {HEADLINE} of the image: the two on which the runs differ most (largest minus smallest), then the "
    "one in the middle by the mean over the runs, then the two of the lowest mean."
)


def choose_images(values: Mapping[str, NDArray[np.floating]]) -> dict[int, str]:
    """Choose images to show, by `RULE`; an image is chosen once.

    Args:
        values: of each run the images' own scores, shape (N,).

    Returns:
        Position and reason of each image; a single run has no differences.

    >>> choose_images({"a": np.array([0.9, 0.5, 0.8, 0.7]), "b": np.array([0.9, 0.6, 0.2, 0.7])})
    {2: 'runs differ most', 1: 'runs differ most', 3: 'middle', 0: 'lowest'}
    """
    scores = np.stack(list(values.values()))
    mean, spread = np.nanmean(scores, axis=0), np.nanmax(scores, axis=0) - np.nanmin(scores, axis=0)
    lowest = np.argsort(mean, kind="stable")
    from_middle = np.argsort(abs(np.arange(len(lowest)) - len(lowest) // 2), kind="stable")
    rules = [("middle", lowest[from_middle], 1), ("lowest", lowest, 2)]
    if len(values) > 1:
        rules.insert(0, ("runs differ most", np.argsort(-spread, kind="stable"), 2))
    chosen: dict[int, str] = {}
    for reason, ranked, count in rules:
        for position in [each for each in ranked.tolist() if each not in chosen][:count]:
            chosen[position] = reason
    return chosen


def write_pictures(comparison: DataSetComparison, folder: Path, *, stem: str) -> dict[Path, str]:
    """Write one JPEG for each chosen image: the truth, then each run's objects.

    Args:
        comparison: the runs on one data set.
        folder: where to write; made when needed.
        stem: beginning of the files' names.

    Returns:
        The files and their captions.

    Raises:
        DataError: a run folder lacks a picture or a label map.
    """
    definitions = {HEADLINE: comparison.definitions[HEADLINE]}
    values = {
        name: per_image_values({HEADLINE: run.statistics[HEADLINE]}, definitions)[HEADLINE].numpy()
        for name, run in comparison.runs.items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for number, (position, reason) in enumerate(choose_images(values).items(), start=1):
        image_id = comparison.ids[position]
        picture = draw_runs(
            comparison.runs,
            image_id,
            titles={name: f"{name}: {scores[position]:.3f}" for name, scores in values.items()},
        )
        path = folder / f"{stem}_{number}.jpg"
        # 4:4:4: coloured lines of one pixel would lose their colour
        encoded = io.BytesIO()
        Image.fromarray(picture).save(encoded, "JPEG", quality=88, subsampling=0)
        write_atomically(path, encoded.getvalue(), temporary_in=folder.parent)
        kind = next(iter(comparison.runs.values())).kinds[position]
        written[path] = f"{reason}: {image_id}" + (f" ({kind})" if kind else "")
    return written


def draw_runs(
    runs: Mapping[str, EvaluatedRun],
    image_id: str,
    *,
    titles: Mapping[str, str] | None,
    notes: Mapping[str, str] | None = None,
    truth_texts: tuple[str, str] = ("truth", ""),
    panel_px: int = PANEL_PX,
    font_px: int = FONT_PX,
) -> NDArray[np.uint8]:
    """Draw an image with its true outlines, and beside it each run's outlines.

    Args:
        runs: the runs by name, on the same images.
        image_id: the image.
        titles: what to write above each run's panel; None leaves the line out.
        notes: what to write beneath it; None leaves the line out.
        truth_texts: what to write above and beneath the truth, where there is such a line.
        panel_px: longer side of each panel; a column is as wide.
        font_px: size of the texts.

    Returns:
        uint8 RGB; `GAP_PX` between the panels, lines of text of `CAPTION_PX`.

    Raises:
        DataError: a run folder lacks the picture or a label map.
    """
    first = next(iter(runs.values()))
    panels = [
        truth_panel(first, image_id, panel_px=panel_px),
        *(result_panel(run, image_id, panel_px=panel_px) for run in runs.values()),
    ]
    sheet = side_by_side(
        panels,
        above=[truth_texts[0], *(titles[name] for name in runs)] if titles else (),
        beneath=[truth_texts[1], *(notes[name] for name in runs)] if notes else (),
        width_px=panel_px,
        font_px=font_px,
    )
    return np.array(sheet)
