"""The commands that the harness of faults disturbs, and how their results are compared."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from medseg_ext.files import UNFINISHED

QUICK = ("--device", "cpu", "--amp", "False", "--num_workers", "0")
BUNDLE = ("--bundle", "dsb2018_unet")
# They tell when, where and how a run was made.
OF_THE_RUN = ("provenance_", "events.out", "README.md")


@dataclass(frozen=True)
class Job:
    """A command that writes to a folder.

    Attributes:
        name: for people.
        words: of `medseg`, with {out} for the folder.
        goes_on: words that follow when it is to go on after an interruption.
        share: of the kills.
    """

    name: str
    words: Sequence[str]
    goes_on: Sequence[str] = ()
    share: int = 1

    def command(self, out: Path, *, again: bool = False) -> list[str]:
        """Give the words for a folder."""
        return [word.format(out=out) for word in self.words] + (list(self.goes_on) if again else [])


def make_jobs(raw: Path, prepared: Path, folder: Path) -> list[Job]:
    """List the commands, at small sizes.

    Args:
        raw: raw data set.
        prepared: data set folder.
        folder: for images to segment.
    """
    images = folder / "images"
    images.mkdir(parents=True)
    for number, file in enumerate(sorted((prepared / "images").glob("*.png"))[:8]):
        with Image.open(file) as image:
            image.crop((0, 0, 96, 80)).save(images / f"{number}.png")
    evaluated = folder / "evaluated"
    shutil.copytree(prepared, evaluated)
    train = ["--patch_size", "[64,64]", "--batch_size", "2", "--max_epochs", "2", "--val_interval", "1"]
    segment = ["segment", str(images), *BUNDLE, "--output", "{out}", *QUICK[:4]]
    return [
        Job("prepare", ["prepare", str(raw), "{out}", "--workers", "1"], share=16),
        Job("train", ["train", *BUNDLE, "--data", str(prepared), "--output", "{out}", *QUICK, *train],
            ["--resume", "auto"], share=10),
        Job("evaluate", ["evaluate", *BUNDLE, "--data", str(evaluated), "--output", "{out}", *QUICK], share=8),
        Job("segment", [*segment, "--num_workers", "0"], ["--resume"], share=10),
        Job("segment by Dask", [*segment, "--workers", "2"], ["--resume"], share=3),
        Job("export", ["export", "dsb2018_unet", "--output", "{out}"], share=3),
    ]  # fmt: skip


def results_of(folder: Path) -> dict[str, object]:
    """Read all files of a folder that are not hidden; those of PyTorch as numbers."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not path.name.startswith((".", *OF_THE_RUN)):
            content = path.read_bytes().replace(str(folder).encode(), b"")
            if path.suffix == ".pt":
                content = torch.load(path, weights_only=True, map_location="cpu")
            found[name] = None if path.suffix in (".ts", ".onnx", ".html") else content
    return found


def differences(one: Mapping[str, object], other: Mapping[str, object]) -> list[str]:
    """Name the files that differ."""
    return sorted(name for name in {**one, **other} if not _is_same(one.get(name, 0), other.get(name, 0)))


def half_written(folder: Path) -> list[str]:
    """Name the files that cannot be read to their end; temporary ones may be so."""
    broken = []
    for path in folder.rglob("*"):
        if path.is_file() and not any(UNFINISHED.fullmatch(part) for part in path.relative_to(folder).parts):
            try:
                _read(path)
            except Exception as error:
                broken.append(f"{path.name}: {error}")
    return broken


def leftovers(folder: Path) -> list[str]:
    """Name what a run that has ended should not have left."""
    names = (".medseg.lock", ".partial", ".overwrite_pending")
    return [path.name for path in folder.rglob(".*") if path.name in names or UNFINISHED.fullmatch(path.name)]


def _read(path: Path) -> None:
    if path.suffix in (".png", ".tif", ".jpg"):
        with Image.open(path) as image:
            image.load()
    elif path.suffix in (".json", ".geojson"):
        json.loads(path.read_bytes())
    elif path.suffix == ".csv":
        text = path.read_text(encoding="utf-8")
        rows = list(csv.reader(io.StringIO(text)))
        if not text.endswith("\n") or len({len(row) for row in rows}) != 1:
            raise ValueError("cut off")
    elif path.suffix == ".pt":
        torch.load(path, weights_only=True, map_location="cpu")
    elif path.suffix == ".html" and "</html>" not in path.read_text(encoding="utf-8"):
        raise ValueError("cut off")


def _is_same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return bool(torch.equal(one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _is_same(one[key], other[key]) for key in one if key not in ("settings", "output_dir")
        )
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_is_same, one, other))
    return type(one) is type(other) and (one == other or one != one)
