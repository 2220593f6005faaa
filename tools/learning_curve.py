"""Measure what fine-tuning gives with few images: trains with 2, 5, 10, 20 of them, and tests on others.

`python tools/learning_curve.py data/unseen/tnbc runs/learning_curve` trains and tests, and goes on where it was
interrupted; with `--publish docs` it writes table and picture, too. Sections are chosen by groups, such as patients:
training and validation take the smallest ones, testing the rest, and no group is in two sections. Every number of
images is tried once a seed, each time with other images of the training's groups, as far as there are others.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product, zip_longest
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple, TypeVar

from matplotlib.figure import Figure

from medseg_ext.bundle.fine_tuning import fine_tuning_settings
from medseg_ext.datasets.data_set_folder import DATASET_FILE, FOLDER_OF_KEY, read_dataset_json
from medseg_ext.errors import DataError
from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.metrics.summary import summarise
from medseg_ext.runs.comparison_tables import markdown_table
from medseg_ext.runs.run_folder import load_run

SIZES = (2, 5, 10, 20)
SEEDS = (0, 1, 2)
N_VALIDATION = 4
METRICS = ("foreground_iou", "ap_50", "pq")
FINE_TUNED, SCRATCH = "fine-tuned", "from scratch"


Sections = dict[str, list[Mapping[str, Any]]]
Item = TypeVar("Item")


class Training(NamedTuple):
    """Which training of the curve."""

    start: str
    size: int
    seed: int | str

    def folder(self, output: Path) -> Path:
        """Name its folder."""
        return output / f"{self.start}_{self.size}_{self.seed}".replace(" ", "_")


def choose_sections(items: Sequence[Mapping[str, Any]], n_training: int, seed: int) -> Sections:
    """Share images out: validation and testing are the same whatever the size and the seed.

    Training takes images of its groups by turns, and fewer are part of more. Another seed begins with another group,
    and with another image of each.
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
    turns = zip_longest(*(rotated(group, seed) for group in rotated(training, seed)))
    by_turns = [item for row in turns for item in row if item is not None]
    held_out = [item for group in by_size if group is not validation and group not in training for item in group]
    return {"training": by_turns[:n_training], "validation": validation, "testing": held_out}


def rotated(items: Sequence[Item], count: int) -> list[Item]:
    """Begin with the item at `count`, and end with those before it."""
    first = count % len(items)
    return [*items[first:], *items[:first]]


def make_data_set(source: Path, target: Path, n_training: int, seed: int) -> None:
    """Make a data set folder whose images are links to those of another one."""
    dataset = read_dataset_json(source)
    items = [item for section in ("training", "validation", "testing") for item in dataset[section]]
    target.mkdir(parents=True, exist_ok=True)
    for folder in FOLDER_OF_KEY.values():
        if not (target / folder).exists():
            (target / folder).symlink_to((source / folder).absolute())
    (target / DATASET_FILE).write_text(json.dumps(dataset | choose_sections(items, n_training, seed)))


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


def measure(
    source: Path, output: Path, bundle: str, sizes: Sequence[int], seeds: Sequence[int], further: Sequence[str]
) -> None:
    """Train and test with every number of images, from the shipped weights and from scratch."""
    for seed, start, size in product(seeds, (FINE_TUNED, SCRATCH), sizes):
        data = output / f"data_{size}_{seed}"
        make_data_set(source, data, size, seed)
        words = ["--seed", seed, *further]
        if start == SCRATCH:
            # As many crops, in as many epochs, with the config's own rate and norms that learn.
            plan = fine_tuning_settings(size)
            words += ["--from", "scratch"]
            for key in ("max_epochs", "crops_per_image", "val_interval"):
                words += [f"--{key}", plan[key]]
        train_and_test(bundle, data, Training(start, size, seed).folder(output), *words)


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


def results(output: Path) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Give start, number of images, and the scores of the trainings that were tested, one a seed."""
    for start, size in product((FINE_TUNED, SCRATCH), SIZES):
        folders = output.glob(Training(start, size, "*").folder(output).name)
        files = [file for folder in sorted(folders) if (file := folder / "test" / "metrics.json").is_file()]
        if files:
            yield start, size, [json.loads(file.read_text())["metrics"] for file in files]


def publish(output: Path, docs: Path, page: str, shipped: Mapping[str, Any]) -> None:
    """Write the table into a page, between its marker lines, and draw the picture beside it.

    Args:
        output: folder of the trainings.
        docs: folder of the page.
        page: its name.
        shipped: scores of the shipped weights on the same test images.
    """
    from medseg_ext.pages.marked_parts import fill_sections

    table = [["shipped weights", "0", "", *_texts([shipped])]]
    table += [[start, str(size), str(len(scores)), *_texts(scores)] for start, size, scores in results(output)]
    head = ["start", "training images", "trainings", *(f"`{name}`" for name in METRICS)]
    text = "\n".join(markdown_table(head, table))
    (docs / page).write_text(fill_sections(docs / page, {"learning_curve": text}), encoding="utf-8")
    draw(output, docs / "learning_curve.png", shipped)


def draw(output: Path, path: Path, shipped: Mapping[str, Any]) -> None:
    """Draw one panel a metric: score on the test images over the number of training images."""
    figure = Figure(figsize=(10, 3.8), dpi=110, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(METRICS)), METRICS, strict=True):
        axes.axhline(shipped[name]["value"], color="0.4", linestyle="--", label="shipped weights")
        for start, colour in ((FINE_TUNED, "tab:blue"), (SCRATCH, "tab:orange")):
            points = {
                size: [each[name]["value"] for each in scores] for at, size, scores in results(output) if at == start
            }
            axes.plot(list(points), [mean(values) for values in points.values()], "o-", color=colour, label=start)
            for size, values in points.items():
                axes.vlines(size, min(values), max(values), color=colour, alpha=0.5)
        axes.set(xlabel="training images", title=name, ylim=(0, 1), xscale="log")
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.minorticks_off()
        axes.grid(color="0.92")
    figure.axes[0].legend(frameon=False, loc="upper left")
    figure.savefig(path)


def _texts(trainings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Give each metric's mean over trainings, and its lowest and highest value."""
    texts = []
    for name in METRICS:
        values = [scores[name]["value"] for scores in trainings]
        spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
        texts.append(f"{mean(values):.3f}{spread}")
    return texts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="prepared data set folder, whose sections are chosen anew")
    parser.add_argument("output", type=Path, help="folder of the trainings")
    parser.add_argument("--bundle", default="dsb2018_unet", help="name of the bundle (default: %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of training images")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="a training of each (default: 0 1 2)")
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
        measure(options.source, options.output, options.bundle, options.sizes, options.seeds, keys)
    if options.publish:
        scores = scores_of_shipped(options.shipped, options.output / f"data_{options.sizes[0]}_{options.seeds[0]}")
        publish(options.output, options.publish, "fine_tuning.md", scores)
