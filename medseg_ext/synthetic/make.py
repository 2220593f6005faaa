"""Make a small synthetic sample of both data sets."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from medseg_ext.synthetic.scenes import nucleus_images, smears
from medseg_ext.synthetic.write import hex_id, write_dsb2018_image, write_segpc2021_image

RECORD = "sample.json"
VERSION = 1  # of the drawing: raise it when the same seed gives other pictures


def make_sample(target: Path, *, seed: int = 0, dsb2018_images: int = 24, segpc2021_images: int = 16) -> None:
    """Draw synthetic images in the raw layouts of DSB2018 and SegPC-2021.

    Writes `dsb2018/stage1_train`, `dsb2018/groups.csv` and `segpc2021/train` under `target`, all of it or nothing. The
    same arguments give the same files, byte by byte; image k does not depend on how many images there are.

    Args:
        target: folder to make; may exist if it is empty. Where it holds a complete sample of the same arguments
            already, nothing is done.
        seed: 0 or more.
        dsb2018_images: images of nuclei, 1 or more.
        segpc2021_images: images of bone marrow, 1 or more.

    Raises:
        ValueError: an argument out of its range.
        FileExistsError: `target` is a file, or holds something else.
    """
    options = {"version": VERSION, "seed": seed, "dsb2018_images": dsb2018_images, "segpc2021_images": segpc2021_images}
    if seed < 0:
        raise ValueError(f"seed must be 0 or more, got {seed}")
    if min(dsb2018_images, segpc2021_images) < 1:
        raise ValueError(f"each set needs 1 image or more, got {dsb2018_images} and {segpc2021_images}")
    target = Path(target).resolve()
    if _is_complete(target, options):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        with tqdm(total=dsb2018_images + segpc2021_images, unit="image", desc="Drawing") as progress:
            _write_dsb2018(partial / "dsb2018", seed, dsb2018_images, progress)
            _write_segpc2021(partial / "segpc2021", seed, segpc2021_images, progress)
        record = {**options, "files": _count_files(partial)}
        (partial / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        partial.chmod(0o755)  # mkdtemp keeps others out
        if target.exists():
            target.rmdir()  # empty, or _is_complete would have refused it
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_complete(target: Path, options: dict[str, int]) -> bool:
    if not target.exists():
        return False
    if not target.is_dir():
        raise FileExistsError(f"{target} is a file; give a folder that is new or empty")
    if not any(target.iterdir()):
        return False
    record = target / RECORD
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise FileExistsError(
            f"{target} is not empty and holds no sample; give a folder that is new or empty"
        ) from None
    if found == {**options, "files": _count_files(target)}:
        return True
    raise FileExistsError(f"{target} holds another sample, or part of one: {record} says {found}; remove it first")


def _count_files(folder: Path) -> int:
    return sum(path.is_file() for path in folder.rglob("*") if path.name != RECORD)


def _write_dsb2018(folder: Path, seed: int, number: int, progress: tqdm) -> None:
    rows = []
    for index, drawn in enumerate(islice(nucleus_images(seed), number)):
        image_id = hex_id("dsb2018", seed, index)
        write_dsb2018_image(folder / "stage1_train", image_id, drawn.image, drawn.labels)
        rows.append((image_id, drawn.group, drawn.kind))
        progress.update()
    with (folder / "groups.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("image_id", "group", "kind"))
        writer.writerows(sorted(rows))


def _write_segpc2021(folder: Path, seed: int, number: int, progress: tqdm) -> None:
    for index, smear in enumerate(islice(smears(seed), number)):
        write_segpc2021_image(folder / "train", str(1001 + index), smear)
        progress.update()
