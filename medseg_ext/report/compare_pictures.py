"""Draw the same image as several runs segment it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from medseg_ext.data.errors import DataError
from medseg_ext.metrics import compare_image, per_image_values
from medseg_ext.report.compare import HEADLINE, DataSetComparison
from medseg_ext.report.compare_run import EVALUATE_AGAIN, EvaluatedRun
from medseg_ext.report.outlines import GAP_PX, MATCHED, MISSED, SPURIOUS
from medseg_ext.report.outlines import LEGEND as OUTLINES
from medseg_ext.transforms import read_labels

PANEL_PX = 400  # longer side of each panel
CAPTION_PX = 30  # height of the line above the panels
TRUTH = (255, 225, 25)
LEGEND = {"true object": TRUTH, **OUTLINES}
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
        Image.fromarray(picture).save(path, quality=88, subsampling=0)
        kind = next(iter(comparison.runs.values())).kinds[position]
        written[path] = f"{reason}: {image_id}" + (f" ({kind})" if kind else "")
    return written


def draw_runs(runs: Mapping[str, EvaluatedRun], image_id: str, *, titles: Mapping[str, str]) -> NDArray[np.uint8]:
    """Draw an image with its true outlines, and beside it each run's outlines.

    Args:
        runs: the runs by name, on the same images.
        image_id: the image.
        titles: what to write above each run's panel.

    Returns:
        uint8 RGB; panels of `PANEL_PX` on the longer side, `GAP_PX` between them, below a line of `CAPTION_PX`.
    """
    first = next(iter(runs.values()))
    image = _image_of(first, image_id)
    true_instances = _labels_of(first, image_id, of_truth=True)
    panels = {"truth": _outline(image, {TRUTH: true_instances})}
    for name, run in runs.items():
        pred_instances = _labels_of(run, image_id)
        found = compare_image(torch.from_numpy(pred_instances), torch.from_numpy(true_instances))
        pred_index, true_index = found.matches.T
        is_found = np.isin(true_instances, found.true_ids[true_index])
        is_right = np.isin(pred_instances, found.pred_ids[pred_index])
        panels[titles[name]] = _outline(
            image,
            {
                MISSED: np.where(is_found, 0, true_instances),
                SPURIOUS: np.where(is_right, 0, pred_instances),
                MATCHED: np.where(is_right, pred_instances, 0),
            },
        )
    return _side_by_side(panels)


def _image_of(run: EvaluatedRun, image_id: str) -> Image.Image:
    """Cut the image out of the first of the three panels that `draw_comparison` makes."""
    path = run.picture_path(image_id)
    if not path.is_file():
        raise DataError(f"{path} is missing: {EVALUATE_AGAIN}")
    with Image.open(path) as picture:
        panel = picture.convert("RGB").crop((0, 0, (picture.width - 2 * GAP_PX) // 3, picture.height))
    scale = PANEL_PX / max(panel.size)
    return panel.resize((round(panel.width * scale), round(panel.height * scale)), Image.Resampling.LANCZOS)


def _labels_of(run: EvaluatedRun, image_id: str, *, of_truth: bool = False) -> NDArray[np.int32]:
    path = run.label_map_path(image_id, of_truth=of_truth)
    if not path.is_file():
        raise DataError(f"{path} is missing: {EVALUATE_AGAIN}")
    return read_labels(path).astype(np.int32)


def _outline(image: Image.Image, objects: Mapping[tuple[int, int, int], NDArray[np.integer]]) -> Image.Image:
    """Draw outlines of objects in their colour, later ones over earlier ones."""
    canvas = np.array(image)
    for colour, instances in objects.items():
        resized = Image.fromarray(instances.astype(np.int32)).resize(image.size, Image.Resampling.NEAREST)
        canvas[find_boundaries(np.array(resized), mode="inner")] = colour
    return Image.fromarray(canvas)


def _side_by_side(panels: Mapping[str, Image.Image]) -> NDArray[np.uint8]:
    width_px, height_px = next(iter(panels.values())).size
    sheet = Image.new("RGB", ((width_px + GAP_PX) * len(panels) - GAP_PX, height_px + CAPTION_PX), "white")
    font = ImageFont.load_default(size=20)
    for position, (title, panel) in enumerate(panels.items()):
        titled = Image.new("RGB", (width_px, height_px + CAPTION_PX), "white")  # ends a title that is too long
        ImageDraw.Draw(titled).text((0, 2), title, fill="black", font=font)
        titled.paste(panel, (0, CAPTION_PX))
        sheet.paste(titled, (position * (width_px + GAP_PX), 0))
    return np.array(sheet)
