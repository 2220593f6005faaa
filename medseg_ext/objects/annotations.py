"""Write into a picture what people read it by: numbers of objects, and a scale bar."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt, find_objects

NUMBER_SHARE, BAR_TEXT_SHARE = 1 / 55, 1 / 32  # height of letters, of the longer side of the picture
LEAST_NUMBER_PX, LEAST_BAR_TEXT_PX = 11, 12  # below which letters cannot be read
LONGEST_BAR = 0.25  # of the picture's width
ROUND = (5, 2, 1)


def annotate(
    picture: NDArray[np.uint8], instances: np.ndarray, *, pixel_size_um: tuple[float, float] | None
) -> NDArray[np.uint8]:
    """Number the objects that have room for it, and draw a scale bar where the size of a pixel is known.

    Args:
        picture: uint8 (H, W, 3); it stays as it is.
        instances: label map, integers (H, W).
        pixel_size_um: (height, width) of a pixel of the picture, None where it is unknown.

    Returns:
        uint8 (H, W, 3).
    """
    canvas = Image.fromarray(picture)
    _draw_numbers(canvas, instances)
    if pixel_size_um is not None:
        _draw_scale_bar(canvas, pixel_size_um[1])
    return np.asarray(canvas)


def bar_length_um(width_um: float) -> float:
    """Choose a length for the scale bar of a picture: 1, 2 or 5 times a power of ten, at most a quarter of its width.

    >>> bar_length_um(260.0), bar_length_um(0.9)
    (50.0, 0.2)
    """
    most = LONGEST_BAR * width_um
    power = math.floor(math.log10(most))
    digit = next(digit for digit in ROUND if digit * 10.0**power <= most * (1 + 1e-9))
    return float(f"{digit}e{power}")


def length_text(length_um: float) -> str:
    """Write a length in the unit that people would take.

    >>> length_text(50.0), length_text(0.2), length_text(2000.0)
    ('50 µm', '200 nm', '2 mm')
    """
    factor, unit = (1e3, "nm") if length_um < 1 else (1e-3, "mm") if length_um >= 1000 else (1.0, "µm")
    return f"{length_um * factor:g} {unit}"


@cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    import matplotlib  # whose font has a µ, which that of Pillow lacks

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size_px)


def _draw_numbers(canvas: Image.Image, instances: np.ndarray) -> None:
    font = _font(max(LEAST_NUMBER_PX, round(NUMBER_SHARE * max(canvas.size))))
    draw = ImageDraw.Draw(canvas)
    for label, box in enumerate(find_objects(instances), start=1):
        if box is None:
            continue
        text = str(label)
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font, anchor="mm", stroke_width=1)
        needed_px = 1.3 * math.hypot(right - left, bottom - top)  # so that outline and object are seen around it
        if min(side.stop - side.start for side in box) < needed_px:
            continue
        depth = distance_transform_edt(np.pad(instances[box] == label, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        if 2 * depth[row, column] >= needed_px:
            place = (box[1].start + int(column), box[0].start + int(row))
            draw.text(place, text, fill="white", font=font, anchor="mm", stroke_width=1, stroke_fill="black")


def _draw_scale_bar(canvas: Image.Image, pixel_width_um: float) -> None:
    """Draw a bar with its length at the lower right, on a dark ground; none where there is no room to read it."""
    width, height = canvas.size
    length_um = bar_length_um(width * pixel_width_um)
    text, length_px = length_text(length_um), round(length_um / pixel_width_um)
    font_px = max(LEAST_BAR_TEXT_PX, round(BAR_TEXT_SHARE * max(width, height)))
    font = _font(font_px)
    edge, thick = font_px // 2, max(2, font_px // 5)
    ground = (max(length_px, math.ceil(font.getlength(text))) + 2 * edge, font_px + thick + 2 * edge)
    left, top = width - ground[0] - edge, height - ground[1] - edge
    if left < width / 3 or top < height / 3:
        return
    box = (left, top, left + ground[0], top + ground[1])
    canvas.paste(Image.blend(canvas.crop(box), Image.new("RGB", ground), 0.65), box)
    draw = ImageDraw.Draw(canvas)
    middle, bottom = left + ground[0] / 2, top + ground[1] - edge
    start = left + (ground[0] - length_px) // 2
    draw.rectangle((start, bottom - thick + 1, start + length_px - 1, bottom), fill="white")
    draw.text((middle, bottom - 1.5 * thick), text, fill="white", font=font, anchor="mb")
