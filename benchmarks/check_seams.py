"""Count objects that tiling lost, doubled or cut, against the true label map of a large image.

    python benchmarks/check_seams.py out/mosaic/truth.tif objects/image_instances.tif --tile-size 1536

An object is at a seam when its box crosses a border of the tiles' cores. If tiling did no harm, as many of the objects
at seams are found (IoU of at least 0.5), and as few hold two predicted ones, as of all others.
"""

import argparse
from pathlib import Path

import numpy as np
import tifffile
import torch
from scipy import ndimage

from medseg_ext.metrics import label_overlaps, match_objects


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path, help="label map")
    parser.add_argument("predicted", type=Path, help="label map")
    parser.add_argument("--tile-size", type=int, required=True, help="side of the tiles' cores, in pixels")
    options = parser.parse_args()
    truth, predicted = (tifffile.imread(path).astype(np.int64) for path in (options.truth, options.predicted))
    found, halves = found_and_doubled(truth, predicted)
    at_seam = crosses_seam(truth, options.tile_size)
    print("| true objects | number | found (IoU >= .5) | of them holding a second predicted one |\n|---|---|---|---|")
    for name, which in (("at seams", at_seam), ("elsewhere", ~at_seam)):
        print(
            f"| {name} | {which.sum()} | {found[which].sum()} ({found[which].mean():.2%}) "
            f"| {halves[which].sum()} ({halves[which].mean():.3%}) |"
        )
    cut, all_at = straight_cuts(predicted, options.tile_size)
    print(
        f"predicted objects at seams: {all_at}; pairs that meet along a seam for most of their height or width: {cut}"
    )


def found_and_doubled(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tell of each true object whether it is found, and whether two predicted objects lie mostly in it; bool (T,)."""
    overlaps = label_overlaps(torch.from_numpy(predicted), torch.from_numpy(truth))
    found = np.zeros(overlaps.n_true, dtype=bool)
    found[match_objects(overlaps, threshold=0.5)[:, 1]] = True
    is_inside = 2 * overlaps.pixels > overlaps.pred_areas[overlaps.pred_index]
    inside = np.bincount(overlaps.true_index[is_inside], minlength=overlaps.n_true)
    return found, inside > 1


def crosses_seam(labels: np.ndarray, tile_size: int) -> np.ndarray:
    """Tell of each object, in the order of their ids, whether its box crosses a border of tiles; bool (N,)."""
    return np.array(
        [
            any(side.start // tile_size != (side.stop - 1) // tile_size for side in box)
            for box in ndimage.find_objects(labels.astype(np.int32))
            if box is not None  # ids may have gaps
        ],
        dtype=bool,
    )


def straight_cuts(labels: np.ndarray, tile_size: int) -> tuple[int, int]:
    """Count pairs of objects that a border of tiles divides, along at least three quarters of the lesser one's side."""
    boxes = ndimage.find_objects(labels.astype(np.int32))
    cuts = 0
    for axis in (0, 1):
        other_axis = 1 - axis
        for border in range(tile_size, labels.shape[axis], tile_size):
            before, after = labels.take(border - 1, axis=axis), labels.take(border, axis=axis)
            meet = (before > 0) & (after > 0) & (before != after)
            pairs, lengths = np.unique(np.stack([before[meet], after[meet]]), axis=1, return_counts=True)
            for one, other, length in zip(*pairs.tolist(), lengths.tolist(), strict=True):
                sides = [boxes[each - 1][other_axis] for each in (one, other)]
                ends = boxes[one - 1][axis].stop == border and boxes[other - 1][axis].start == border
                cuts += ends and length >= 0.75 * min(side.stop - side.start for side in sides)
    return cuts, int(crosses_seam(labels, tile_size).sum())


if __name__ == "__main__":
    main()
