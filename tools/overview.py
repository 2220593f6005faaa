"""Bring the page of results, docs/results.md, up to date with evaluations of the bundles' weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from medseg_ext.pages.comparison_pictures import draw_runs
from medseg_ext.pages.evaluation_page import kind_text
from medseg_ext.pages.example_images import nearest_to_quartiles
from medseg_ext.pages.marked_parts import check_sections, fill_sections
from medseg_ext.pages.model_card import OBJECT_SCORE, credit, image_scores, read_metadata, short_id
from medseg_ext.pages.panels import legend_lines, save_small_png, stack, text_line
from medseg_ext.pages.plots import draw_curves
from medseg_ext.runs.comparison_tables import markdown_table, score_text
from medseg_ext.runs.run_comparison import HEADLINE, DataSetComparison, compare_run_folders
from medseg_ext.runs.run_folder import load_run
from medseg_ext.runs.training_curve import read_curve

SECTIONS = ("results", "models", "curves")
ELSEWHERE = "elsewhere"  # written where there are evaluations of other images, and else left as it is
MODELS_FILE, CURVES_FILE = "networks.png", "iou_curves.png"
PANEL_PX, FONT_PX = 312, 20
SCORES = ("ap_50", "mean_matched_iou", "pq", "segpc_miou", "segpc_miou_matched")
OF_ONE_DATA_SET = {"segpc_miou": "SegPC-2021", "segpc_miou_matched": "SegPC-2021"}  # its challenge's score


class PublishedFigures(NamedTuple):
    """What a bundle's IoU is held against: that of the student report, and the one that it is to reach."""

    reported_iou: float | None
    floor: float


def write_overview(
    page: Path,
    evaluations: Mapping[Path, Path],
    *,
    figures: Mapping[str, PublishedFigures],
    elsewhere: Mapping[str, Mapping[str, Path]] | None = None,
) -> list[Path]:
    """Write the marked parts of a page: `results`, a table; `models` and `curves`, a picture each.

    Args:
        page: Markdown; pictures go beside it.
        evaluations: of each bundle's folder, the output_dir of an evaluation of its weights, in the table's order.
        figures: of each bundle's name, what it is to be held against.
        elsewhere: of what other images are, the evaluations of them by the bundle's name, for the part `elsewhere`.

    Returns:
        The files, the page first.

    Raises:
        DataError: a folder is no evaluation or lacks a file, two on one data set differ in their images, or the page
            lacks the marker lines; names the file and what to do; nothing is written then.
    """
    check_sections(page, [*SECTIONS, *([ELSEWHERE] if elsewhere else [])], kept=[ELSEWHERE])
    folders: dict[str, list[Path]] = {}
    for evaluation in evaluations.values():
        folders.setdefault(load_run(evaluation).data_set, []).append(evaluation)
    comparisons = [compare_run_folders(each)[0] for each in folders.values()]  # apart: models need no folder's name
    bundles = {evaluation: bundle for bundle, evaluation in evaluations.items()}
    metadata = {
        comparison.data_set: read_metadata(bundles[next(iter(comparison.runs.values())).folder])
        for comparison in comparisons
    }
    chosen = {comparison.data_set: _choose(comparison) for comparison in comparisons}
    ids = [
        f"`{short_id(comparison.ids[position])}`"
        for comparison in comparisons
        for position in chosen[comparison.data_set]
    ]
    texts = {
        "results": "\n".join(_results_table(comparisons, bundles, figures)),
        "models": "\n".join(
            [
                f"![The same test images as each network segments them]({MODELS_FILE})",
                "",
                f"The test images nearest to the quartiles of `{HEADLINE}`, its mean over the networks, and no kind of "
                f"microscopy twice: {', '.join(ids)}. {credit([each['data_source'] for each in metadata.values()])}",
            ]
        ),
        "curves": f"![Foreground IoU on the validation images, during training]({CURVES_FILE})",
    }
    if elsewhere:
        texts[ELSEWHERE] = "\n".join(_elsewhere_table(elsewhere))
    content = fill_sections(page, texts, kept=[ELSEWHERE])
    rows = [_draw_rows(each, chosen[each.data_set], metadata[each.data_set]) for each in comparisons]
    save_small_png(stack([*rows, legend_lines(rows[0].width, font_px=FONT_PX)], gap_px=16), page.parent / MODELS_FILE)
    curves = {
        comparison.data_set: {
            name: curve for name, run in comparison.runs.items() if (curve := read_curve(run.folder)) is not None
        }
        for comparison in comparisons
    }
    draw_curves(curves, page.parent / CURVES_FILE)
    page.write_text(content, encoding="utf-8")
    return [page, page.parent / MODELS_FILE, page.parent / CURVES_FILE]


def _results_table(
    comparisons: Sequence[DataSetComparison], bundles: Mapping[Path, Path], figures: Mapping[str, PublishedFigures]
) -> list[str]:
    rows = []
    for comparison in comparisons:
        for name, run in comparison.runs.items():
            bundle = bundles[run.folder].name
            scores = {
                metric: comparison.scores[metric][name].interval
                for metric in (HEADLINE, *SCORES)
                if OF_ONE_DATA_SET.get(metric, comparison.data_set) == comparison.data_set
            }
            rows.append(
                [
                    f"`{bundle}` ({len(comparison.ids)} images)",
                    "" if (reported := figures[bundle].reported_iou) is None else f"{reported:.2f}",
                    f"{figures[bundle].floor:.3f}",
                    score_text(scores[HEADLINE]),
                    *(f"{scores[metric].value:.3f}" if metric in scores else "" for metric in SCORES),
                ]
            )
    return markdown_table(["bundle", "report's IoU", "floor", *(f"`{name}`" for name in (HEADLINE, *SCORES))], rows)


def _elsewhere_table(elsewhere: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """Give a row for each bundle, and a column for each kind of images, of foreground IoU, AP at .50 and PQ."""
    rows: dict[str, list[str]] = {}
    counts = {}
    for images, folders in elsewhere.items():
        for name, folder in folders.items():
            (comparison,) = compare_run_folders([folder])
            (run,) = comparison.runs
            counts[images] = len(comparison.ids)
            scores = [comparison.scores[metric][run].interval.value for metric in (HEADLINE, "ap_50", "pq")]
            rows.setdefault(name, []).append(" / ".join(f"{score:.3f}" for score in scores))
    header = [f"{images} ({counts[images]} images)" for images in elsewhere]
    return markdown_table(["bundle", *header], [[f"`{name}`", *cells] for name, cells in rows.items()])


def _choose(comparison: DataSetComparison) -> list[int]:
    values = [image_scores(run)[HEADLINE] for run in comparison.runs.values()]
    kinds = next(iter(comparison.runs.values())).kinds
    return nearest_to_quartiles(np.mean(values, axis=0), kinds=kinds if any(kinds) else None)


def _draw_rows(comparison: DataSetComparison, positions: Sequence[int], metadata: Mapping[str, Any]) -> Image.Image:
    """Draw a row for each image: the truth, then each run's objects, names above the first row and scores beneath."""
    values = {name: image_scores(run) for name, run in comparison.runs.items()}
    kinds = next(iter(comparison.runs.values())).kinds
    rows = [text_line(comparison.data_set, font_px=FONT_PX + 6)]
    for number, position in enumerate(positions):
        image_id = comparison.ids[position]
        notes = {
            name: f"IoU {scores[HEADLINE][position]:.3f}, {OBJECT_SCORE} {scores[OBJECT_SCORE][position]:.3f}"
            for name, scores in values.items()
        }
        picture = draw_runs(
            comparison.runs,
            image_id,
            titles={name: name for name in comparison.runs} if number == 0 else None,
            notes=notes,
            truth_texts=("truth", kind_text(kinds[position], metadata.get("kinds", {})) or short_id(image_id)),
            panel_px=PANEL_PX,
            font_px=FONT_PX,
        )
        rows.append(Image.fromarray(picture))
    return stack(rows, gap_px=4)
