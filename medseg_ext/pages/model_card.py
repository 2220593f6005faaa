"""Bring a bundle's model card up to date with an evaluation of its weights."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.files import write_atomically
from medseg_ext.metrics.bootstrap import Interval, count_groups
from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.metrics.summary import per_image_values
from medseg_ext.pages.evaluation_page import kind_text
from medseg_ext.pages.example_images import lowest, nearest_to_quartiles
from medseg_ext.pages.marked_parts import check_sections, fill_sections, text_outside
from medseg_ext.pages.panels import (
    image_panel,
    legend_lines,
    result_panel,
    save_small_png,
    side_by_side,
    stack,
    text_line,
    truth_panel,
)
from medseg_ext.runs.comparison_tables import TOO_FEW, code_text, markdown_table, markdown_text, score_text
from medseg_ext.runs.run_comparison import HEADLINE
from medseg_ext.runs.run_files import EVALUATE_AGAIN
from medseg_ext.runs.run_folder import KEPT_CURVE_FILE, EvaluatedRun, load_run

CARD_FILE = Path("docs") / "README.md"
WORST_FILE, SAMPLES_FILE = "worst_images.png", "samples.png"
PANEL_PX, FONT_PX = 300, 16
OBJECT_SCORE = "ap_50"
# `{classes}` stands for the IoU of each class, where there is more than one beside the background.
METRICS = (
    "foreground_iou", "foreground_iou_pooled", "dice", "class_iou", "{classes}", "ap_50", "ap_75", "ap_90", "map",
    "map_per_image", "pq", "sq", "rq", "mean_matched_iou", "aji", "segpc_miou", "segpc_miou_matched",
)  # fmt: skip
METRICS_BY_KIND = ("foreground_iou", "ap_50", "pq")
ELSEWHERE = "elsewhere"  # the part on other images than the test images


class WrittenCard(NamedTuple):
    """What was written, and what a person has to see to.

    Attributes:
        files: the card first.
        unexplained: the worst images of which the card's own text says nothing.
        of_other_images: where the card's own text, or the bundle's metadata, tell of other images than were evaluated.
    """

    files: list[Path]
    unexplained: list[str]
    of_other_images: list[str]

    def report(self) -> list[str]:
        """Tell what was written, and what a person has to write, one line each."""
        note = "{}: its own text says nothing of `{}`, one of the worst images; write a sentence on why"
        return [
            *map(str, self.files),
            *(note.format(self.files[0], image) for image in self.unexplained),
            *self.of_other_images,
        ]


def write_card(
    bundle: Path, evaluation: Path, *, note: str = "", elsewhere: Mapping[str, Path] | None = None
) -> WrittenCard:
    """Write the marked parts of a card, `docs/README.md`, and their pictures.

    The parts are `metrics`; `kinds`, where the images have kinds; `samples`, the images nearest to the quartiles of
    foreground IoU; and `worst`, those of the lowest. `elsewhere` is written where evaluations of other images are
    given, and else stays as it is.

    Args:
        bundle: the bundle's folder.
        evaluation: output_dir of an evaluation of the bundle's weights on the test images.
        note: a sentence below the metrics.
        elsewhere: further evaluations of the same weights by what their images are, such as other laboratories' ones.

    Raises:
        DataError: the folder is no evaluation, or not of this bundle, of other weights or of other images than the
            test images; a file of it is missing or broken; or the card lacks the marker lines. Names the file and what
            to do; nothing is written then.
    """
    run, metadata = load_run(evaluation), read_metadata(bundle)
    check_is_of(run, bundle, metadata)
    content = _read_metrics(evaluation)
    kinds = content["by_kind"]
    card = bundle / CARD_FILE
    check_sections(
        card,
        ["metrics", *(["kinds"] if kinds else []), *([ELSEWHERE] if elsewhere else []), "samples", "worst"],
        kept=[ELSEWHERE],
    )
    values = image_scores(run)
    worst, samples = lowest(values[HEADLINE]), nearest_to_quartiles(values[HEADLINE])
    texts = {
        "metrics": _metrics_text(
            content["metrics"], run, card, [_of_which_images(run, metadata), note, scores_sentence(content["scores"])]
        ),
        "samples": _pictures_text(
            f"Test images nearest to the quartiles of {HEADLINE}: image, truth, result",
            SAMPLES_FILE,
            whose_images(run, metadata),
            _image_lines(run, samples, values, metadata),
        ),
        "worst": _pictures_text(
            f"The test images of the lowest {HEADLINE}: image, truth, result",
            WORST_FILE,
            whose_images(run, metadata),
            _image_lines(run, worst, values, metadata),
        ),
    }
    if kinds:
        texts["kinds"] = "\n".join(_kinds_table(kinds, metadata))
    if elsewhere:
        texts[ELSEWHERE] = "\n".join(_elsewhere_table(elsewhere))
    page = fill_sections(card, texts, kept=[ELSEWHERE])
    pictures = {name: _draw(run, chosen, values) for name, chosen in ((SAMPLES_FILE, samples), (WORST_FILE, worst))}
    for name, picture in pictures.items():
        save_small_png(picture, card.parent / name)
    write_atomically(card, page)
    own_text = text_outside(page)
    return WrittenCard(
        files=[card, *(card.parent / name for name in pictures)],
        unexplained=[
            short_id(run.ids[position]) for position in worst if code_text(short_id(run.ids[position])) not in own_text
        ],
        of_other_images=_contradictions(run, metadata, card, own_text),
    )


def _contradictions(run: EvaluatedRun, metadata: Mapping[str, Any], card: Path, own_text: str) -> list[str]:
    """Say where the card's own text, or the bundle's metadata, tell of other images than those of a run."""
    found = []
    if run.data_set not in ("", metadata.get("data_set", run.data_set)):
        found.append(
            f"{card}: the evaluation is on {run.data_set}, and the bundle's metadata.json has the data_set "
            f"{metadata['data_set']}: adapt the card's own text, and data_set and data_source, or evaluate on that"
        )
    told = {int(number.replace(",", "")) for number in re.findall(r"([\d,]*\d) (?:test images|to test\b)", own_text)}
    if told - {len(run.ids)}:
        numbers = " and ".join(map(str, sorted(told)))
        found.append(
            f"{card}: its own text says {numbers} test images, and the evaluation is of {len(run.ids)}: adapt it"
        )
    return found


def read_metadata(bundle: Path) -> dict[str, Any]:
    """Read a bundle's `metadata.json`.

    Raises:
        DataError: there is none, or it does not name the source of the data.
    """
    path = bundle / "configs" / "metadata.json"
    if not path.is_file():
        raise DataError(f"{path} is missing: give the folder of a bundle")
    metadata = _read_json(path)
    if not metadata.get("data_source"):
        raise DataError(f"{path} has no `data_source`: name there the data's source and licence")
    return metadata


def check_is_of(run: EvaluatedRun, bundle: Path, metadata: Mapping[str, Any]) -> None:
    """Refuse an evaluation of another bundle, of other weights, or of other than test images.

    Weights are told apart by the curve of their training, where bundle and evaluation have one.

    Raises:
        DataError: names the folder and what to do.
    """
    config = _read_json(bundle / "configs" / "evaluate.json")
    expected, found = (metadata.get("name"), config["class_names"]), (run.model, list(run.class_names))
    if expected != found:
        raise DataError(
            f"{run.folder} is an evaluation of {found[0]} with the classes {found[1]}, and {bundle} is "
            f"{expected[0]} with {expected[1]}: give an evaluation of this bundle"
        )
    if run.facts.get("section") != "testing":
        raise DataError(f"{run.folder} is of the {run.facts.get('section')} images: evaluate with `--split testing`")
    curves = [run.folder / KEPT_CURVE_FILE, bundle / "docs" / "iou_curve.csv"]
    if all(curve.is_file() for curve in curves) and curves[0].read_bytes() != curves[1].read_bytes():
        raise DataError(f"{curves[0]} is not {curves[1]}, so that the weights are others: {EVALUATE_AGAIN}")


def image_scores(run: EvaluatedRun) -> dict[str, NDArray[np.floating]]:
    """Give the images' own `HEADLINE` and `OBJECT_SCORE`, each of shape (N,), NaN where undefined."""
    definitions = metrics_for(run.class_names)
    chosen = {name: definitions[name] for name in (HEADLINE, OBJECT_SCORE)}
    values = per_image_values({name: run.statistics[name] for name in chosen}, chosen)
    return {name: column.numpy() for name, column in values.items()}


def credit(sources: Sequence[str]) -> str:
    """Say whose the images in a picture are, from the `data_source` of bundles."""
    return f"Images: {'; '.join(sources)}; at reduced size, with outlines drawn in, under the licence of their source."


def whose_images(run: EvaluatedRun, metadata: Mapping[str, Any]) -> str:
    """Name the source of a run's images: that of the bundle, unless the run is of another data set."""
    return (
        str(metadata["data_source"]) if run.data_set in ("", metadata.get("data_set", run.data_set)) else run.data_set
    )


def short_id(image_id: str) -> str:
    """Shorten a hash; what is left tells images apart.

    >>> short_id("1982"), short_id("c395870ad9f5c395870ad9f5")
    ('1982', 'c395870ad9f5')
    """
    return image_id if len(image_id) <= 16 else image_id[:12]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}): run `medseg render`") from error


def _read_metrics(evaluation: Path) -> dict[str, Any]:
    path = evaluation / "metrics.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = {key: content[key] for key in ("metrics", "by_kind", "object_diameter")}
        return found | {"scores": content.get("scores") or {}}  # evaluations of earlier versions have none
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}): {EVALUATE_AGAIN}") from error


def _interval(score: Mapping[str, Any]) -> Interval:
    """Take a score out of `metrics.json`, where undefined is null."""
    numbers = [score["value"], *score["interval_95"]]
    return Interval(*(math.nan if number is None else number for number in numbers))


def scores_sentence(scores: Mapping[str, Any]) -> str:
    """Say how far the scores of objects are right, by `scores` of `metrics.json`; empty without objects."""
    if not scores.get("reliability"):
        return ""
    fullest = max(scores["reliability"], key=lambda each: each["objects"])
    return (
        f"Scores: of {fullest['objects']} objects with a score of about {fullest['mean_score']:.2f}, "
        f"{100 * fullest['right']:.0f} % are right (IoU of at least 0.5 with a true one); expected calibration error "
        f"{score_text(_interval(scores['expected_calibration_error']))}, of {scores['objects']} objects."
    )


def _of_which_images(run: EvaluatedRun, metadata: Mapping[str, Any]) -> str:
    """Say of how many images the figures are, where `medseg ship` wrote the card, and nobody else says it."""
    if "weights" not in metadata:
        return ""
    images, groups = len(run.ids), count_groups(run.groups)
    return (
        f"Measured on {images} test {'image' if images == 1 else 'images'} of {groups} "
        f"{'group' if groups == 1 else 'groups'}, of {markdown_text(run.data_set)}. An image that is in no group, "
        "such as a slide or a patient, is one by itself."
    )


def _metrics_text(metrics: Mapping[str, Any], run: EvaluatedRun, card: Path, notes: Sequence[str]) -> str:
    classes = [f"class_iou_{name}" for name in run.class_names[1:]] if len(run.class_names) > 2 else []
    names = [name for row in METRICS for name in (classes if row == "{classes}" else [row])]
    missing = [name for name in names if name not in metrics]
    if missing:
        raise DataError(f"{card}: the evaluation lacks {', '.join(missing)}: {EVALUATE_AGAIN}")
    rows = []
    for name in names:
        value, low, high = _interval(metrics[name])
        bounds = TOO_FEW if math.isnan(low) else f"{low:.3f} to {high:.3f}"
        rows.append([code_text(name), "undefined" if math.isnan(value) else f"{value:.3f}", bounds])
    lines = markdown_table(["metric", "value", "95 % interval"], rows)
    return "\n".join([*lines, *(line for note in notes if note for line in ("", note))])


def _kinds_table(kinds: Mapping[str, Mapping[str, Any]], metadata: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            markdown_text(kind_text(kind, metadata.get("kinds", {}))),
            str(_images_of(scores[HEADLINE])),
            *(score_text(_interval(scores[name])) for name in METRICS_BY_KIND),
        ]
        for kind, scores in kinds.items()
    ]
    return markdown_table(["kind of microscopy", "images", *(f"`{name}`" for name in METRICS_BY_KIND)], rows)


def _elsewhere_table(evaluations: Mapping[str, Path]) -> list[str]:
    rows = []
    for images, folder in evaluations.items():
        content = _read_metrics(folder)
        rows.append(
            [
                markdown_text(images),
                str(_images_of(content["metrics"][HEADLINE])),
                *(score_text(_interval(content["metrics"][name])) for name in METRICS_BY_KIND),
                _number(content["object_diameter"]["share_within_1.5"]),
            ]
        )
    return markdown_table(["images", "number", *(f"`{name}`" for name in METRICS_BY_KIND), "size within 1.5"], rows)


def _images_of(score: Mapping[str, Any]) -> int:
    return score["images"] + score["images_left_out"]


def _image_lines(
    run: EvaluatedRun,
    positions: Sequence[int],
    values: Mapping[str, NDArray[np.floating]],
    metadata: Mapping[str, Any],
) -> list[str]:
    lines = []
    for number, position in enumerate(positions, start=1):
        described = markdown_text(kind_text(run.kinds[position], metadata.get("kinds", {})))
        kind = f" ({described})" if described else ""
        scores = ", ".join(f"`{name}` {_number(column[position])}" for name, column in values.items())
        lines.append(f"{number}. {code_text(short_id(run.ids[position]))}{kind}: {scores}")
    return lines


def _number(value: float | None) -> str:
    return "undefined" if value is None or math.isnan(value) else f"{value:.3f}"


def _pictures_text(title: str, file: str, source: str, lines: Sequence[str]) -> str:
    return "\n".join([f"![{title}]({file})", "", markdown_text(credit([source])), "", *lines])


def _draw(run: EvaluatedRun, positions: Sequence[int], values: Mapping[str, NDArray[np.floating]]) -> Image.Image:
    """Draw a row for each image: as it is, the truth, the result; the legend is the last row."""
    rows = []
    for number, position in enumerate(positions, start=1):
        image_id = run.ids[position]
        panels = [draw(run, image_id, panel_px=PANEL_PX) for draw in (image_panel, truth_panel, result_panel)]
        scores = ", ".join(f"{name} {_number(column[position])}" for name, column in values.items())
        line = text_line(f"{number}. {short_id(image_id)}: {scores}", font_px=FONT_PX)
        rows.append(stack([line, side_by_side(panels, width_px=PANEL_PX)], gap_px=0))
    width_px = max((row.width for row in rows), default=3 * PANEL_PX)
    return stack([*rows, legend_lines(width_px)])
