"""Find the images that the rows work on: of real data sets, where they are prepared, else of the drawn sample."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "out" / "bench" / "sample"
DATA = Path(os.environ.get("BENCH_DATA", ROOT / "data"))
SAMPLE_IMAGES = {"dsb2018": 24, "segpc2021": 6}


def draw_sample() -> None:
    """Draw the sample and prepare it, if that is still to be done."""
    if all((SAMPLE / name / "dataset.json").is_file() for name in SAMPLE_IMAGES):
        return
    from medseg_ext.synthetic import make_sample

    raw = SAMPLE / "raw"
    make_sample(raw, **{f"{name}_images": number for name, number in SAMPLE_IMAGES.items()})
    fractions = ["--fractions", "0.5", "0.25", "0.25"]
    for script, source, *options in (
        ("prepare_dsb2018", raw / "dsb2018" / "stage1_train", "--groups", raw / "dsb2018" / "groups.csv"),
        ("prepare_segpc2021", raw / "segpc2021"),
    ):
        target = SAMPLE / script.removeprefix("prepare_")
        words = [
            sys.executable,
            *map(str, (ROOT / "data_scripts" / f"{script}.py", source, target, *options, *fractions)),
        ]
        subprocess.run(words, cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=sys.stderr)


def data_set(name: str) -> Path:
    """Give the folder of a prepared data set."""
    real = DATA / name
    return real if (real / "dataset.json").is_file() else SAMPLE / name


def is_real(name: str) -> bool:
    """Say whether the images of a data set are those that were taken, and not drawn."""
    return data_set(name).parent == DATA


def items(name: str, section: str = "validation") -> list[dict[str, str]]:
    """List the images of a section of a data set, with whole paths, spread over their kinds."""
    folder = data_set(name)
    listed = json.loads((folder / "dataset.json").read_text())[section]
    step = 5 if len(listed) >= 10 else 1  # neighbours resemble each other
    spread = [item for first in range(step) for item in listed[first::step]]
    return [{**item, **{key: str(folder / item[key]) for key in ("image", "instances", "classes")}} for item in spread]


def images(name: str, *, megapixels: float) -> tuple[list[Path], float]:
    """Choose validation images of about so many megapixels together; return them, and how many these are."""
    from PIL import Image

    chosen, total = [], 0.0
    for item in items(name):
        if total >= megapixels:
            break
        width, height = Image.open(item["image"]).size
        chosen.append(Path(item["image"]))
        total += width * height / 1e6
    return chosen, total
