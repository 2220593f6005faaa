"""Bring what the README shows of the results up to date: its picture, and how many objects were found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from medseg_ext.files import write_atomically
from medseg_ext.images.read import read_labels
from medseg_ext.objects.overlay import draw_outlines
from medseg_ext.pages.marked_parts import fill_sections
from medseg_ext.pages.model_card import OBJECT_SCORE, image_scores
from medseg_ext.pages.panels import image_panel, save_small_png, side_by_side, stack
from medseg_ext.runs.comparison_tables import markdown_table
from medseg_ext.runs.run_folder import EvaluatedRun, load_run

SHOWN = {  # of each column's title: the bundle, and the kind of microscopy among its test images
    "Fluorescence: nuclei": ("dsb2018_unet", "f"),
    "Stained tissue: nuclei": ("dsb2018_unet", "b"),
    "Bone marrow: plasma cells": ("segpc2021_unetplusplus", ""),
}
COUNTED = {"dsb2018_unet": "nuclei", "segpc2021_unetplusplus": "plasma cells"}
PICTURE = Path("docs") / "found_objects.png"
PANEL_PX, FONT_PX = 400, 22


def write_front_page(readme: Path, evaluations: Mapping[str, Path]) -> list[Path]:
    """Draw the picture, and write the marked part `found` of the README.

    The picture shows, in each column, the test image of the median score of objects, so that it flatters nobody.

    Args:
        readme: the page; the picture goes to `docs` beside it.
        evaluations: of each bundle's name, the output_dir of an evaluation of its weights.

    Returns:
        The files, the page first.

    Raises:
        DataError: a folder is no evaluation or lacks a file, or the page lacks the marker lines.
    """
    page = fill_sections(readme, {"found": "\n".join(_found_table(evaluations))})
    columns = []
    for title, (bundle, kind) in SHOWN.items():
        run = load_run(evaluations[bundle])
        image, found = _square_panels(run, _of_median_score(run, kind))
        columns.append(stack([side_by_side([image], above=[title], font_px=FONT_PX), found]))
    save_small_png(side_by_side(columns), readme.parent / PICTURE)
    write_atomically(readme, page)
    return [readme, readme.parent / PICTURE]


def _found_table(evaluations: Mapping[str, Path]) -> list[str]:
    rows = []
    for bundle, objects in COUNTED.items():
        run = load_run(evaluations[bundle])
        found, all_of_both = run.statistics[OBJECT_SCORE].sum(dim=0).tolist()  # TP, and TP + FP + FN
        true = sum(len(np.unique(read_labels(run.label_map_path(each, of_truth=True)))) - 1 for each in run.ids)
        outlined = found + all_of_both - true
        rows.append(
            [
                f"`{bundle}`",
                f"{found / true:.0%} of {true:,} {objects}",
                f"{1 - found / outlined:.0%} of {outlined:,.0f}",
            ]
        )
    return markdown_table(["bundle", "found", "of its outlines, those that match nothing"], rows)


def _of_median_score(run: EvaluatedRun, kind: str) -> str:
    scores = image_scores(run)[OBJECT_SCORE]
    positions = sorted(
        (position for position in range(len(run.ids)) if run.kinds[position] == kind), key=lambda each: scores[each]
    )
    return run.ids[positions[len(positions) // 2]]


def _square_panels(run: EvaluatedRun, image_id: str) -> tuple[Image.Image, Image.Image]:
    """Give the middle of an image, and the same with what was found outlined, as `medseg segment` draws it."""
    instances = read_labels(run.label_map_path(image_id)).astype(np.int32)
    scale = PANEL_PX / min(instances.shape)
    image = image_panel(run, image_id, panel_px=round(max(instances.shape) * scale))
    left_px, top_px = (image.width - PANEL_PX) // 2, (image.height - PANEL_PX) // 2
    square = (left_px, top_px, left_px + PANEL_PX, top_px + PANEL_PX)
    labels = np.array(Image.fromarray(instances).resize(image.size, Image.Resampling.NEAREST).crop(square))
    panel = image.crop(square)
    found = draw_outlines(np.array(panel), labels, (labels > 0).astype(np.uint8))
    return panel, Image.fromarray(found)
