"""Draw panels of an image of a run: as it is, with its true objects, with the run's objects."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage.segmentation import find_boundaries

from medseg_ext.errors import DataError
from medseg_ext.files import read_regular, told_if_unreadable, write_atomically
from medseg_ext.images.raster import decode_image
from medseg_ext.images.read import read_labels
from medseg_ext.metrics.image_comparison import compare_image
from medseg_ext.pages.found_and_missed import GAP_PX, MATCHED, MISSED, SPURIOUS
from medseg_ext.pages.found_and_missed import LEGEND as OUTLINES
from medseg_ext.runs.run_files import EVALUATE_AGAIN
from medseg_ext.runs.run_folder import EvaluatedRun

PANEL_PX = 400  # longer side of each panel
CAPTION_PX = 30  # height of a line of text
FONT_PX = 20
LEAST_FONT_PX = 11
TRUTH = (255, 225, 25)
LEGEND = {"true object": TRUTH, **OUTLINES}
SWATCH_PX = (28, 6)
THICK_FROM_PX = 150  # median area of the true objects, in a panel


def image_panel(run: EvaluatedRun, image_id: str, *, panel_px: int = PANEL_PX) -> Image.Image:
    """Cut the image out of the first of the three panels that `draw_found_and_missed` made.

    Args:
        run: a run that has the image.
        image_id: the image.
        panel_px: length of the longer side of the panel.

    Raises:
        DataError: the picture is missing from the run folder.
    """
    path = run.picture_path(image_id)
    if not path.is_file():
        raise DataError(f"{path} is missing: {EVALUATE_AGAIN}")
    with told_if_unreadable(path):
        pixels = decode_image(read_regular(path), str(path))
    picture = Image.fromarray(pixels).convert("RGB") if pixels.dtype == np.uint8 else None
    if picture is None or picture.width < 2 * GAP_PX + 3:
        raise DataError(f"{path} is no picture of an evaluation: {EVALUATE_AGAIN}")
    panel = picture.crop((0, 0, (picture.width - 2 * GAP_PX) // 3, picture.height))
    scale = panel_px / max(panel.size)
    return panel.resize((round(panel.width * scale), round(panel.height * scale)), Image.Resampling.LANCZOS)


def truth_panel(run: EvaluatedRun, image_id: str, *, panel_px: int = PANEL_PX) -> Image.Image:
    """Draw the image with its true objects, all in one colour; arguments and errors as of `result_panel`."""
    image = image_panel(run, image_id, panel_px=panel_px)
    true_instances = _labels_of(run, image_id, of_truth=True)
    return _outline(image, {TRUTH: true_instances}, line=_line_for(true_instances, image.size))


def result_panel(run: EvaluatedRun, image_id: str, *, panel_px: int = PANEL_PX) -> Image.Image:
    """Draw the image with the run's objects, right or spurious, and the true ones that it missed.

    Args:
        run: a run that has the image.
        image_id: the image.
        panel_px: length of the longer side of the panel.

    Raises:
        DataError: the picture or a label map is missing from the run folder.
    """
    true_instances, pred_instances = _labels_of(run, image_id, of_truth=True), _labels_of(run, image_id)
    found = compare_image(torch.from_numpy(pred_instances), torch.from_numpy(true_instances))
    pred_ids, true_ids = found.matched_ids
    is_found = np.isin(true_instances, true_ids)
    is_right = np.isin(pred_instances, pred_ids)
    image = image_panel(run, image_id, panel_px=panel_px)
    return _outline(
        image,
        {
            MISSED: np.where(is_found, 0, true_instances),
            SPURIOUS: np.where(is_right, 0, pred_instances),
            MATCHED: np.where(is_right, pred_instances, 0),
        },
        line=_line_for(true_instances, image.size),
    )


def side_by_side(
    panels: Sequence[Image.Image],
    *,
    above: Sequence[str] = (),
    beneath: Sequence[str] = (),
    width_px: int | None = None,
    font_px: int = FONT_PX,
) -> Image.Image:
    """Put panels of one size into a row, `GAP_PX` between them.

    Args:
        panels: at least one.
        above: a text for each panel, in a line of `CAPTION_PX`; without texts there is no line.
        beneath: likewise.
        width_px: width of a column, by default that of the panels; a narrower panel stands in the middle.
        font_px: size of the texts; smaller, down to `LEAST_FONT_PX`, where one is too long for its column.
    """
    column_px, height_px = width_px or panels[0].width, panels[0].height
    top_px = CAPTION_PX if above else 0
    row_px = top_px + height_px + (CAPTION_PX if beneath else 0)
    font = ImageFont.load_default(size=font_px)
    longest_px = max(map(font.getlength, (*above, *beneath)), default=0.0)
    room_px = (column_px + panels[0].width) // 2  # texts begin where the panel does
    if longest_px > room_px:
        font = ImageFont.load_default(size=max(LEAST_FONT_PX, int(font_px * room_px / longest_px)))
    sheet = Image.new("RGB", ((column_px + GAP_PX) * len(panels) - GAP_PX, row_px), "white")
    no_texts = [""] * len(panels)
    texts = zip(panels, above or no_texts, beneath or no_texts, strict=True)
    for position, (panel, title, note) in enumerate(texts):
        column = Image.new("RGB", (column_px, row_px), "white")  # ends a text that is too long
        left_px = (column_px - panel.width) // 2
        ImageDraw.Draw(column).text((left_px, 2), title, fill="black", font=font)
        ImageDraw.Draw(column).text((left_px, top_px + height_px + 4), note, fill="black", font=font)
        column.paste(panel, (left_px, top_px))
        sheet.paste(column, (position * (column_px + GAP_PX), 0))
    return sheet


def text_line(text: str, *, font_px: int = FONT_PX) -> Image.Image:
    """Write a line of text, as high as it needs."""
    font = ImageFont.load_default(size=font_px)
    line = Image.new("RGB", (round(font.getlength(text)) + 1, font_px + 8), "white")
    ImageDraw.Draw(line).text((0, 2), text, fill="black", font=font)
    return line


def legend_lines(
    width_px: int, legend: Mapping[str, tuple[int, int, int]] = LEGEND, *, font_px: int = 16
) -> Image.Image:
    """Explain the colours, in as many lines as the width needs."""
    font = ImageFont.load_default(size=font_px)
    step_px, places, left_px, line = font_px + 10, [], 0, 0
    for text in LEGEND:
        needed_px = SWATCH_PX[0] + 6 + round(font.getlength(text))
        if left_px and left_px + needed_px > width_px:
            left_px, line = 0, line + 1
        places.append((left_px, line * step_px))
        left_px += needed_px + 20
    sheet = Image.new("RGB", (width_px, (line + 1) * step_px), "white")
    draw = ImageDraw.Draw(sheet)
    for (left_px, top_px), (text, colour) in zip(places, LEGEND.items(), strict=True):
        middle_px = top_px + step_px // 2
        swatch = (left_px, middle_px - SWATCH_PX[1] // 2, left_px + SWATCH_PX[0], middle_px + SWATCH_PX[1] // 2)
        draw.rectangle(swatch, fill=colour)
        draw.text((left_px + SWATCH_PX[0] + 6, middle_px), text, fill="black", font=font, anchor="lm")
    return sheet


def stack(rows: Sequence[Image.Image], *, gap_px: int = GAP_PX) -> Image.Image:
    """Put pictures below each other, on white; the widest gives the width."""
    width_px = max(row.width for row in rows)
    sheet = Image.new("RGB", (width_px, sum(row.height + gap_px for row in rows) - gap_px), "white")
    top_px = 0
    for row in rows:
        sheet.paste(row, (0, top_px))
        top_px += row.height + gap_px
    return sheet


def save_small_png(picture: Image.Image, path: Path, *, colours: int = 256) -> None:
    """Write a PNG with a palette, a third as large as with all colours; those of `LEGEND` stay what they are.

    Args:
        picture: RGB.
        path: the PNG; its folder is made when needed.
        colours: of the palette, at most 256.
    """
    kept = [*LEGEND.values(), (255, 255, 255), (0, 0, 0)]
    others = picture.quantize(colours - len(kept), dither=Image.Dither.NONE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*itertools.chain(*kept), *others])
    pixels, indices = np.array(picture), np.array(picture.quantize(palette=palette, dither=Image.Dither.NONE))
    for index, colour in enumerate(kept):  # Pillow gives a near one here and there
        indices[(pixels == colour).all(axis=-1)] = index
    reduced = Image.fromarray(indices)
    reduced.putpalette(palette.getpalette() or [])
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = io.BytesIO()
    reduced.save(encoded, "PNG", optimize=True)
    write_atomically(path, encoded.getvalue())


def _labels_of(run: EvaluatedRun, image_id: str, *, of_truth: bool = False) -> NDArray[np.int32]:
    path = run.label_map_path(image_id, of_truth=of_truth)
    if not path.is_file():
        raise DataError(f"{path} is missing: {EVALUATE_AGAIN}")
    return read_labels(path).astype(np.int32)


def _line_for(true_instances: NDArray[np.integer], size_px: tuple[int, int]) -> str:
    """Choose a line of two pixels, which is easier to see, or of one where it would cover small objects."""
    areas = np.unique(true_instances[true_instances > 0], return_counts=True)[1]
    shrinkage = size_px[0] * size_px[1] / true_instances.size
    return "inner" if areas.size and np.median(areas) * shrinkage < THICK_FROM_PX else "thick"


def _outline(
    image: Image.Image, objects: Mapping[tuple[int, int, int], NDArray[np.integer]], *, line: str
) -> Image.Image:
    """Draw outlines of objects in their colour, later ones over earlier ones."""
    canvas = np.array(image)
    for colour, instances in objects.items():
        resized = Image.fromarray(instances.astype(np.int32)).resize(image.size, Image.Resampling.NEAREST)
        canvas[find_boundaries(np.array(resized), mode=line)] = colour
    return Image.fromarray(canvas)
