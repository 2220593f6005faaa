"""Say why evaluated objects do not match: what keeps an IoU and an AP from being higher.

    python tools/misses.py runs/table/dsb2018_unet runs/table/segpc2021_unet

reads evaluations, of `make table` or of `medseg evaluate`. An object without a match of an IoU above 0.5 is one of:

- missed or spurious: less than a quarter of it lies in objects of the other kind;
- merged or a part: most of it lies in one other object of nearly twice its size and more, such as two nuclei in one;
- an outline too wide, too narrow or too far away: all else.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from medseg_ext.images.read import read_labels
from medseg_ext.metrics.overlap import ObjectOverlaps, label_overlaps
from medseg_ext.runs.comparison_tables import markdown_table
from medseg_ext.runs.run_folder import load_run

MATCH, TOUCHED, INSIDE, TWICE = 0.5, 0.25, 0.5, 1.8
NOWHERE = 0.1  # part of an object in others, below which it is left out of the IoU without what has no counterpart
IOUS = ("IoU", "without spurious", "nor missed")
CAUSES = ("found", "missed", "merged", "outline", "spurious", "part", "wide")


def causes(own: torch.Tensor, others: torch.Tensor, overlaps: ObjectOverlaps, *, is_pred: bool) -> Counter[str]:
    """Count the causes for which objects of one side (areas, int (N,)) have no match on the other."""
    mine, theirs = overlaps.pred_index, overlaps.true_index
    if not is_pred:
        mine, theirs = theirs, mine
    found = Counter[str]()
    for index in range(len(own)):
        pairs = mine == index
        if bool((overlaps.iou[pairs] > MATCH).any()):
            found["found"] += 1
            continue
        pixels, partners = overlaps.pixels[pairs], theirs[pairs]
        if int(pixels.sum()) < TOUCHED * int(own[index]):
            found["spurious" if is_pred else "missed"] += 1
            continue
        most = int(pixels.argmax())
        holds = int(pixels[most]) > INSIDE * int(own[index])
        if holds and int(others[partners[most]]) > TWICE * int(own[index]):
            found["part" if is_pred else "merged"] += 1
        else:
            found["wide" if is_pred else "outline"] += 1
    return found


def without_counterpart(labels: np.ndarray, ids: torch.Tensor, areas: torch.Tensor, shared: torch.Tensor) -> np.ndarray:
    """Give the foreground (H, W) of the objects of which at least `NOWHERE` lies in objects of the other side."""
    return np.isin(labels, ids[shared >= NOWHERE * areas].numpy())


def row_of(folder: Path) -> list[str]:
    """Give the row of an evaluation."""
    run = load_run(folder)
    ious, counts = [], Counter[str]()
    for image_id in run.ids:
        pred, true = (
            read_labels(run.folder / part / f"{image_id}.tif").astype(np.int64) for part in ("predictions", "truths")
        )
        if not pred.any() and not true.any():
            continue
        overlaps = label_overlaps(torch.from_numpy(pred), torch.from_numpy(true))
        counts += causes(overlaps.true_areas, overlaps.pred_areas, overlaps, is_pred=False)
        spurious = causes(overlaps.pred_areas, overlaps.true_areas, overlaps, is_pred=True)
        del spurious["found"]
        counts += spurious
        shared_pred = torch.zeros_like(overlaps.pred_areas).index_add_(0, overlaps.pred_index, overlaps.pixels)
        shared_true = torch.zeros_like(overlaps.true_areas).index_add_(0, overlaps.true_index, overlaps.pixels)
        kept = without_counterpart(pred, overlaps.pred_ids, overlaps.pred_areas, shared_pred)
        wanted = without_counterpart(true, overlaps.true_ids, overlaps.true_areas, shared_true)
        pairs = ((pred > 0, true > 0), (kept, true > 0), (kept, wanted))
        ious.append([(one & other).sum() / max(1, (one | other).sum()) for one, other in pairs])
    means = [f"{value:.3f}" for value in np.mean(ious, axis=0)]
    return [f"`{folder.name}`", *means, *(str(counts[name]) for name in CAUSES)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    try:
        print(
            "\n".join(
                markdown_table(["bundle", *IOUS, *CAUSES], [row_of(folder) for folder in parser.parse_args().folders])
            )
        )
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
