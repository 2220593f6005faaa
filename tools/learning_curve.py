"""Measure what fine-tuning gives with few images: trains with 2, 5, 10, 20 of them, and tests on others.

`python tools/learning_curve.py data/unseen/tnbc runs/learning_curve` trains and tests, and goes on where it was
interrupted; with `--publish docs` it writes table and picture, too. Sections are chosen by groups, such as patients:
training and validation take the smallest ones, testing the rest, and no group is in two sections.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from medseg_ext.bundle.fine_tuning import fine_tuning_settings
from medseg_ext.datasets.data_set_folder import DATASET_FILE, FOLDER_OF_KEY, read_dataset_json
from medseg_ext.errors import DataError
from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.metrics.summary import summarise
from medseg_ext.runs.comparison_tables import markdown_table
from medseg_ext.runs.run_folder import load_run

SIZES = (2, 5, 10, 20)
N_VALIDATION = 4
METRICS = ("foreground_iou", "ap_50", "pq")
FINE_TUNED, SCRATCH = "fine-tuned", "from scratch"


def choose_sections(items: Sequence[Mapping[str, Any]], n_training: int) -> dict[str, list[Mapping[str, Any]]]:
    """Share images out: the last section, testing, is the same whatever the size.

    Training takes images of its groups by turns, and fewer are part of more.
    """
    groups = defaultdict(list)
    for item in items:
        groups[item["group"]].append(item)
    by_size = sorted(groups.values(), key=lambda group: (len(group), group[0]["group"]))
    validation = next(group for group in by_size if len(group) == N_VALIDATION)
    training: list[list[Mapping[str, Any]]] = []
    for group in by_size:
        if group is not validation and sum(map(len, training)) < max(SIZES):
            training.append(group)
    by_turns = [item for row in zip_longest(*training) for item in row if item is not None]
    held_out = [item for group in by_size if group is not validation and group not in training for item in group]
    return {"training": by_turns[:n_training], "validation": validation, "testing": held_out}


def make_data_set(source: Path, target: Path, n_training: int) -> None:
    """Make a data set folder whose images are links to those of another one."""
    dataset = read_dataset_json(source)
    items = [item for section in ("training", "validation", "testing") for item in dataset[section]]
    target.mkdir(parents=True, exist_ok=True)
    for folder in FOLDER_OF_KEY.values():
        if not (target / folder).exists():
            (target / folder).symlink_to((source / folder).absolute())
    (target / DATASET_FILE).write_text(json.dumps(dataset | choose_sections(items, n_training)))


def folder_of(output: Path, start: str, size: int) -> Path:
    """Name the folder of a training."""
    return output / f"{start}_{size}".replace(" ", "_")


def medseg(*words: object) -> None:
    """Run a command, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-m", "medseg_ext.cli", *map(str, words)], check=True, env=environment)


def train_and_test(bundle: str, data: Path, folder: Path, *words: object) -> None:
    """Train, if it is not done, and test."""
    common = ("--bundle", bundle, "--data", data, "--num_workers", 0)
    if not (folder / "trained").is_file():
        medseg("train", *common, "--output", folder, *words, "--resume", "auto")
        (folder / "trained").touch()
    if not (folder / "test" / "metrics.json").is_file():
        medseg("evaluate", *common, "--output", folder / "test", "--ckpt_path", folder / "model.pt")


def measure(source: Path, output: Path, bundle: str, sizes: Sequence[int], further: Sequence[str]) -> None:
    """Train and test with every number of images, from the shipped weights and from scratch."""
    for size in sizes:
        make_data_set(source, output / f"data_{size}", size)
        train_and_test(bundle, output / f"data_{size}", folder_of(output, FINE_TUNED, size), *further)
    for size in sizes:
        # As many crops, in as many epochs, with the config's own rate and norms that learn.
        plan = fine_tuning_settings(size)
        same = [word for key in ("max_epochs", "crops_per_image", "val_interval") for word in (f"--{key}", plan[key])]
        words = ("--from", "scratch", *same, *further)
        train_and_test(bundle, output / f"data_{size}", folder_of(output, SCRATCH, size), *words)


def scores_of_shipped(evaluation: Path, data: Path) -> dict[str, Any]:
    """Score the shipped weights on the test images alone, from an evaluation of them on more images."""
    run = load_run(evaluation)
    tested = {item["id"] for item in read_dataset_json(data)["testing"]}
    positions = [position for position, each in enumerate(run.ids) if each in tested]
    if len(positions) < len(tested):
        raise DataError(f"{evaluation} lacks images that are tested here: give an evaluation of all images")
    definitions = {name: metrics_for(run.class_names)[name] for name in METRICS}
    statistics = {name: run.statistics[name][positions] for name in METRICS}
    return summarise(statistics, definitions, groups=[run.groups[position] for position in positions])


def rows(output: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Give start, number of images and scores of every training that was tested."""
    for start in (FINE_TUNED, SCRATCH):
        for size in SIZES:
            file = folder_of(output, start, size) / "test" / "metrics.json"
            if file.is_file():
                yield start, size, json.loads(file.read_text())["metrics"]


def kept_epoch(output: Path, start: str, size: int) -> str:
    """Say from which epoch the kept weights are."""
    import torch

    file = folder_of(output, start, size) / "checkpoint.pt"
    return f"{torch.load(file, weights_only=True)['best_model']['best']['epoch']:g}"


def publish(output: Path, docs: Path, page: str, shipped: Mapping[str, Any]) -> None:
    """Write the table into a page, between its marker lines, and draw the picture beside it.

    Args:
        output: folder of the trainings.
        docs: folder of the page.
        page: its name.
        shipped: scores of the shipped weights on the same test images.
    """
    from medseg_ext.pages.marked_parts import fill_sections

    table = [["shipped weights", "0", "", *_texts(shipped)]]
    table += [
        [start, str(size), kept_epoch(output, start, size), *_texts(scores)] for start, size, scores in rows(output)
    ]
    head = ["start", "training images", "kept epoch", *(f"`{name}`" for name in METRICS)]
    text = "\n".join(markdown_table(head, table))
    (docs / page).write_text(fill_sections(docs / page, {"learning_curve": text}), encoding="utf-8")
    draw(output, docs / "learning_curve.png", shipped)


def draw(output: Path, path: Path, shipped: Mapping[str, Any]) -> None:
    """Draw one panel a metric: score on the test images over the number of training images."""
    figure = Figure(figsize=(10, 3.8), dpi=110, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        axes.axhline(shipped[name]["value"], color="0.4", linestyle="--", label="shipped weights")
        for start, colour in ((FINE_TUNED, "tab:blue"), (SCRATCH, "tab:orange")):
            points = [(size, scores[name]) for each, size, scores in rows(output) if each == start]
            if not points:
                continue
            sizes, values = [size for size, _ in points], [score["value"] for _, score in points]
            axes.plot(sizes, values, "o-", color=colour, label=start)
        axes.set(xlabel="training images", title=name, ylim=(0, 1), xscale="log")
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.minorticks_off()
        axes.grid(color="0.92")
    figure.axes[0].legend(frameon=False, loc="lower right")
    figure.savefig(path)


def _texts(scores: Mapping[str, Any]) -> list[str]:
    texts = []
    for name in METRICS:
        texts.append(f"{scores[name]['value']:.3f}")  # without intervals, as the patients are too few
    return texts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="prepared data set folder, whose sections are chosen anew")
    parser.add_argument("output", type=Path, help="folder of the trainings")
    parser.add_argument("--bundle", default="dsb2018_unet", help="name of the bundle (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of training images")
    parser.add_argument("--publish", type=Path, metavar="DOCS", help="folder of fine_tuning.md and its picture")
    parser.add_argument(
        "--shipped",
        type=Path,
        default=Path("runs/table/unseen/tnbc/dsb2018_unet"),
        help="evaluation of the shipped weights on all images (default: %(default)s, of `make table`)",
    )
    parser.add_argument("--only-publish", action="store_true", help="train and test nothing, publish what is there")
    options, keys = parser.parse_known_args()
    if not options.only_publish:
        measure(options.source, options.output, options.bundle, options.sizes, keys)
    if options.publish:
        scores = scores_of_shipped(options.shipped, options.output / f"data_{options.sizes[0]}")
        publish(options.output, options.publish, "fine_tuning.md", scores)
