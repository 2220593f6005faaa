"""Fit the calibration of scores to validation images, and tell what it does to others. `make calibration` calls it.

    python tools/calibrate.py runs/calibration

The folder holds evaluations with `--score_temperature 1 --score_bias 0`, as tools/calibration.sh makes them: of each
bundle `validation/BUNDLE` and `testing/BUNDLE`, and of images of other laboratories `bbbc039/BUNDLE` and the like. What
is fitted goes into bundles/_base/pairs, its tables and picture into docs/calibration.md. A bundle that is not in
`validation` keeps its fragment and its rows, and the picture stays as it is.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure

from medseg_ext.errors import DataError
from medseg_ext.files import write_atomically
from medseg_ext.metrics import (
    Interval,
    ScoreCalibration,
    bootstrap_interval,
    brier_score,
    calibration_terms,
    expected_calibration_error,
    fit_calibration,
    reliability_curve,
)
from medseg_ext.pages.marked_parts import check_sections, fill_sections, section
from medseg_ext.pages.plots import draw_reliability_panel
from medseg_ext.runs.comparison_tables import markdown_table, score_text
from medseg_ext.runs.evaluation import PER_IMAGE_FILE, SCORES_FILE
from medseg_ext.runs.provenance import read_provenance

ROOT = Path(__file__).parents[1]
PAGE, PICTURE = Path("docs") / "calibration.md", Path("docs") / "calibration.png"
DRAWS = 200  # of objects that are right by chance
CERTAINTIES = (0.5, 0.8, 0.9, 0.95)
BLOCK = """\
evaluate: &scores  # fitted to the validation images by tools/calibrate.py
  score_temperature: {}
  score_bias: {}

inference: *scores
"""


class ScoredImages(NamedTuple):
    """The predicted objects of an evaluation, image by image, with the group of each image."""

    scores: Sequence[np.ndarray]
    is_right: Sequence[np.ndarray]
    groups: Sequence[str]

    def terms(self, calibration: ScoreCalibration) -> torch.Tensor:
        """Sum up each image with its scores calibrated; float64 (N, K)."""
        pairs = zip(self.scores, self.is_right, strict=True)
        return torch.stack([calibration_terms(*map(torch.from_numpy, (calibration(s), r))) for s, r in pairs])

    def error(self, calibration: ScoreCalibration) -> Interval:
        """Give the expected calibration error of calibrated scores, with its interval over groups."""
        return bootstrap_interval(self.terms(calibration), expected_calibration_error, groups=self.groups)

    def error_by_chance(self, calibration: ScoreCalibration) -> float:
        """Give the mean error of calibrated scores where objects are right exactly as often as these say."""
        scores = torch.from_numpy(calibration(np.concatenate(self.scores)))
        generator = torch.Generator().manual_seed(0)
        draws = (torch.rand(DRAWS, len(scores), generator=generator) < scores).unbind()
        return float(np.mean([float(expected_calibration_error(calibration_terms(scores, r)[None])) for r in draws]))


def read_scored_images(evaluation: Path) -> ScoredImages:
    """Read the scores of an evaluation.

    Raises:
        DataError: it is none, or its scores are calibrated; names the folder.
    """
    files = evaluation / PER_IMAGE_FILE, evaluation / SCORES_FILE
    for file in files:
        if not file.is_file():
            raise DataError(f"{file}: not found; run tools/calibration.sh")
    settings = read_provenance(evaluation, "evaluate")["settings"]
    if (settings["score_temperature"], settings["score_bias"]) != (1, 0):
        raise DataError(f"{evaluation}: its scores are calibrated; remove it, and run tools/calibration.sh")
    with files[0].open(newline="") as images, files[1].open(newline="") as objects:
        groups = {row["id"]: row["group"] for row in csv.DictReader(images)}
        rows = list(csv.DictReader(objects))
    of_image: dict[str, list[tuple[float, bool]]] = {name: [] for name in groups}
    for row in rows:
        of_image[row["image"]].append((float(row["score"]), row["right"] == "1"))
    columns = [np.array(pairs, dtype=float).reshape(-1, 2).T for pairs in of_image.values()]
    return ScoredImages([s.copy() for s, _ in columns], [r.astype(bool) for _, r in columns], list(groups.values()))


def fit(images: ScoredImages, *, with_bias: bool = True) -> ScoreCalibration:
    """Fit a calibration to all objects of some images; one that changes nothing where they are too few."""
    scores, is_right = np.concatenate(images.scores), np.concatenate(images.is_right)
    return fit_calibration(scores, is_right, with_bias=with_bias) or ScoreCalibration()


def write_fragment(pairs: Path, bundle: str, calibration: ScoreCalibration) -> Path:
    """Write a calibration into the fragment of a bundle's data set and model."""
    data_set, _, model = bundle.partition("_")
    file = pairs / f"{data_set}+{model}.yaml"
    content = file.read_text(encoding="utf-8") if file.is_file() else "# How far scores are right.\n"
    content = re.sub(r"\n*^evaluate: &scores.*^inference: \*scores\n", "\n", content, flags=re.MULTILINE | re.DOTALL)
    if re.search(r"^(evaluate|inference):", content, re.MULTILINE):
        raise DataError(f"{file} has a section evaluate or inference of its own: move it to another fragment")
    block = BLOCK.format(calibration.temperature, calibration.bias)
    write_atomically(file, f"{content.rstrip()}\n\n{block}")
    return file


def test_table(folder: Path, fitted: Mapping[str, ScoreCalibration]) -> list[str]:
    """List what the calibration does to the scores of test images."""
    rows = []
    for bundle, calibration in fitted.items():
        images = read_scored_images(folder / "testing" / bundle)
        temperature_alone = fit(read_scored_images(folder / "validation" / bundle), with_bias=False)
        raw = images.terms(ScoreCalibration())
        rows.append(
            [
                f"`{bundle}`",
                str(sum(map(len, images.scores))),
                f"{np.concatenate(images.is_right).mean():.3f}",
                f"{calibration.temperature:g}, {calibration.bias:g}",
                score_text(images.error(ScoreCalibration())),
                f"{images.error(temperature_alone).value:.3f}",
                score_text(images.error(calibration)),
                f"{images.error_by_chance(calibration):.3f}",
                f"{float(brier_score(raw)):.3f}",
                f"{float(brier_score(images.terms(calibration))):.3f}",
            ]
        )
    head = ["bundle", "objects", "right", "temperature, bias", "ECE before", "temperature alone", "ECE after"]
    return markdown_table([*head, "by chance", "Brier before", "Brier after"], rows)


def unseen_table(folder: Path, fitted: Mapping[str, ScoreCalibration]) -> list[str]:
    """List what it does to the scores of images of other laboratories."""
    rows = []
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        if part.name in ("validation", "testing"):
            continue
        for bundle, calibration in fitted.items():
            if (part / bundle).is_dir():
                images = read_scored_images(part / bundle)
                scores, is_right = np.concatenate(images.scores), np.concatenate(images.is_right)
                errors = [score_text(images.error(each)) for each in (ScoreCalibration(), calibration)]
                means = [f"{scores.mean():.3f}", f"{calibration(scores).mean():.3f}", f"{is_right.mean():.3f}"]
                rows.append([part.name, f"`{bundle}`", str(len(scores)), *means, *errors])
    head = ["images", "bundle", "objects", "mean score before", "after", "right", "ECE before", "ECE after"]
    return markdown_table(head, rows)


def threshold_table(fitted: Mapping[str, ScoreCalibration]) -> list[str]:
    """List the scores of the networks that calibrated ones come from."""
    rows = [[f"`{name}`", *(f"{each.raw(score):.3f}" for score in CERTAINTIES)] for name, each in fitted.items()]
    return markdown_table(["bundle", *(f"{score:g}" for score in CERTAINTIES)], rows)


def with_rows_of_others(
    table: Sequence[str], former: str, bundles: Collection[str], fitted: Collection[str]
) -> list[str]:
    """Add to a table the rows of a former one that are of bundles which are not fitted anew, in alphabetical order."""
    others = {f"`{bundle}`" for bundle in bundles if bundle not in fitted}
    kept = [row for row in former.splitlines() if others & {cell.strip() for cell in row.split("|")}]
    return [*table[:2], *sorted([*table[2:], *kept])]


def draw(folder: Path, fitted: Mapping[str, ScoreCalibration], path: Path) -> None:
    """Draw the reliability of each bundle on its test images, before and after."""
    columns = 4
    count = -(-len(fitted) // columns)
    figure = Figure(figsize=(4.4 * columns, 5 * count), dpi=80, layout="constrained")
    parts = np.ravel(figure.subfigures(count, columns, squeeze=False))
    for part, (bundle, calibration) in zip(parts, fitted.items(), strict=False):
        images = read_scored_images(folder / "testing" / bundle)
        curves = {
            "as the network gives them": reliability_curve(images.terms(ScoreCalibration())),
            "calibrated": reliability_curve(images.terms(calibration)),
        }
        draw_reliability_panel(part, curves, title=bundle)
    figure.savefig(path)


def calibrate(root: Path, folder: Path) -> dict[str, ScoreCalibration]:
    """Fit, and write fragments, page and picture; returns the calibration of each bundle.

    Raises:
        DataError: an evaluation is missing; names it.
    """
    bundles = sorted(path.parents[1].name for path in (root / "bundles").glob("*/configs/metadata.json"))
    evaluated = [bundle for bundle in bundles if (folder / "validation" / bundle).is_dir()]
    if not evaluated:
        raise DataError(f"{folder / 'validation'} has no evaluations of bundles; run tools/calibration.sh")
    fitted = {bundle: fit(read_scored_images(folder / "validation" / bundle)) for bundle in evaluated}
    texts = {
        "calibration": test_table(folder, fitted),
        "unseen": unseen_table(folder, fitted),
        "thresholds": threshold_table(fitted),
    }
    page = check_sections(root / PAGE, texts)
    texts = {name: with_rows_of_others(lines, section(page, name), bundles, fitted) for name, lines in texts.items()}
    page = fill_sections(root / PAGE, {name: "\n".join(lines) for name, lines in texts.items()})
    if evaluated == bundles:
        draw(folder, fitted, root / PICTURE)
    write_atomically(root / PAGE, page)
    for bundle, calibration in fitted.items():
        write_fragment(root / "bundles" / "_base" / "pairs", bundle, calibration)
    return fitted


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluations", type=Path, help="folder of the evaluations")
    try:
        for name, each in calibrate(ROOT, parser.parse_args().evaluations).items():
            print(f"{name}: score_temperature {each.temperature}, score_bias {each.bias}")
        print("now `make render`, and evaluate again for the cards")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
