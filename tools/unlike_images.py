"""Count the images that a bundle calls unlike its training images: its own test images, unseen ones, pictures of else.

    python tools/unlike_images.py dsb2018_unet data/dsb2018 data/unseen/* --output runs/unlike/dsb2018_unet

segments the images of the sections `testing`, the photographs and drawings that scikit-image brings, and some drawn
here, and prints a table.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image, ImageDraw, ImageFont

from medseg_ext.bundle.find import find_bundle
from medseg_ext.bundle.segmentation import segment
from medseg_ext.datasets.data_set_folder import load_datalist
from medseg_ext.errors import DataError
from medseg_ext.images.result_names import SUMMARY_FILE
from medseg_ext.runs.comparison_tables import markdown_table

UNLIKE = "unlike the training images: its "
PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "clock_motion", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "moon", "motorcycle_left", "rocket", "retina",
)  # fmt: skip
DRAWINGS = ("chessboard_RGB", "color", "horse", "logo", "page", "phantom", "text")
SIDE_PX = 384


def draw_face(draw: ImageDraw.ImageDraw) -> None:
    """Draw a face by a pen on paper."""
    draw.ellipse((60, 40, 320, 350), outline="black", width=4)
    for left in (130, 220):
        draw.ellipse((left, 130, left + 30, 150), outline="black", width=3)
    draw.line((190, 160, 180, 220, 200, 222), fill="black", width=3)
    draw.arc((130, 220, 250, 300), 20, 160, fill="black", width=4)


def draw_text(draw: ImageDraw.ImageDraw) -> None:
    """Write lines of text."""
    for line in range(10):
        draw.text((15, 15 + 36 * line), "The quick brown fox jumps", fill="black", font=ImageFont.load_default(24))


def draw_coin(draw: ImageDraw.ImageDraw) -> None:
    """Draw a coin on a table."""
    draw.rectangle((0, 0, SIDE_PX, SIDE_PX), fill=(110, 80, 50))
    draw.ellipse((80, 80, 300, 300), fill=(190, 150, 60), outline=(120, 90, 30), width=8)
    draw.text((160, 150), "5", fill=(120, 90, 30), font=ImageFont.load_default(90))


def draw_stripes(draw: ImageDraw.ImageDraw) -> None:
    """Draw coloured stripes."""
    for place in range(0, SIDE_PX, 24):
        draw.rectangle((place, 0, place + 11, SIDE_PX), fill=(220, 40, 40))


DRAWN: dict[str, Callable[[ImageDraw.ImageDraw], None]] = {
    "drawn_face": draw_face, "drawn_text": draw_text, "drawn_coin": draw_coin, "drawn_stripes": draw_stripes,
}  # fmt: skip


def write_pictures(folder: Path) -> dict[str, list[Path]]:
    """Write the pictures of other things; returns them by what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = Path(skimage.data.__file__).parent
    sets: dict[str, list[Path]] = {"photographs": [], "drawings and text": []}
    for what, names in zip(sets, (PHOTOGRAPHS, DRAWINGS), strict=True):
        for name in names:
            file = next(path for path in sources.glob(f"{name}.*"))
            sets[what].append(folder / f"{name}.png")
            Image.open(file).convert("RGB").save(sets[what][-1])
    for name, draw in DRAWN.items():
        picture = Image.new("RGB", (SIDE_PX, SIDE_PX), "white")
        draw(ImageDraw.Draw(picture))
        sets["drawings and text"].append(folder / f"{name}.png")
        picture.save(folder / f"{name}.png")
    noise = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)
    sets["drawings and text"].append(folder / "noise.png")
    Image.fromarray(noise).save(folder / "noise.png")
    return sets


def table(sets: Mapping[str, Sequence[Path]], remarks: Mapping[str, str]) -> list[list[str]]:
    """Give a row for each set: how many images there are, how many of them are flagged, and by what."""
    rows = []
    for name, files in sets.items():
        told = [remarks[str(file)] for file in files if remarks[str(file)]]
        aspects = Counter(text.rsplit(" differ", 1)[0] for text in told)
        by = "; ".join(f"{aspect} ({count})" for aspect, count in aspects.most_common(3))
        rows.append([name, str(len(files)), f"{len(told)} ({len(told) / len(files):.0%})", by])
    return rows


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("data", type=Path, nargs="+", help="data set folders; of each, the section testing")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    sets = {
        folder.name: [Path(item["image"]) for item in load_datalist(folder, "testing")] for folder in options.data
    } | write_pictures(options.output / "pictures")
    links = options.output / "images"  # under names of their own, by which the rows are found again
    links.mkdir(exist_ok=True)
    place_of = {}
    for name, files in sets.items():
        for file in files:
            link = links / f"{name}-{file.name}".replace(" ", "_")
            link.unlink(missing_ok=True)
            link.symlink_to(file.absolute())
            place_of[link.name] = str(file)
    segment([links], find_bundle(options.bundle), options.output / "objects", overrides={}, gallery=False)
    remarks = dict.fromkeys(place_of.values(), "")
    with (options.output / "objects" / SUMMARY_FILE).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            unlike = [text for text in row["remarks"].split(" | ") if text.startswith(UNLIKE)]
            remarks[place_of[row["image"]]] = unlike[0].removeprefix(UNLIKE) if unlike else ""
    print("\n".join(markdown_table(["images", "number", "called unlike", "by"], table(sets, remarks))))


if __name__ == "__main__":
    try:
        main()
    except (DataError, OSError) as error:
        sys.exit(f"error: {error}")
