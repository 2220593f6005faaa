"""Measure the speed of what runs once an image, as ratios to baselines of the same run.

A ratio says nearly the same on a fast and on a slow machine; the times beside it do not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from skimage.draw import disk
from skimage.measure import label

from medseg_ext.datasets.dsb2018 import prepare_dsb2018
from medseg_ext.metrics.matching import pairwise_iou
from medseg_ext.objects.watershed import decode_semantic
from medseg_ext.synthetic.make import make_sample
from medseg_ext.transforms.targets import centre_distances

SIDE_PX = 512
SPACING_PX = 32  # of the disks: 256 in an image, a crowded one
SAMPLE_IMAGES = 8


class Row(NamedTuple):
    """One comparison; times are seconds of one core, of the fastest repetition."""

    what: str
    baseline: str
    ours_s: float
    baseline_s: float


def fastest_s(*calls: Callable[[], object], repetitions: int = 5) -> list[float]:
    """Time calls in turn, so that what disturbs the machine disturbs them alike.

    Returns:
        Seconds of each call's fastest repetition. They are of this process on the processor: neither another process
        nor a slow disk counts.
    """
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repetitions):
        for call, own_times in zip(calls, times, strict=True):
            start = process_time()
            call()
            own_times.append(process_time() - start)
    return [min(own_times) for own_times in times]


def disks(shift_px: int = 0) -> np.ndarray:
    """Draw a label map of touching disks, int32 (SIDE_PX, SIDE_PX)."""
    labels = np.zeros((SIDE_PX, SIDE_PX), dtype=np.int32)
    centres = range(SPACING_PX // 2, SIDE_PX, SPACING_PX)
    for number, centre in enumerate(((row, column) for row in centres for column in centres), start=1):
        labels[disk((centre[0], centre[1] + shift_px), SPACING_PX // 2, shape=labels.shape)] = number
    return labels


def naive_iou(pred: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Compare each mask with each, as the definition says."""
    pred_masks = [pred == number for number in np.unique(pred)[1:]]
    true_masks = [true == number for number in np.unique(true)[1:]]
    return np.array([[(p & t).sum() / (p | t).sum() for t in true_masks] for p in pred_masks])


def bench_iou() -> Row:
    """Pairwise IoU of all objects against a loop over pairs of masks."""
    true, pred = disks(), disks(shift_px=3)
    true_map, pred_map = torch.from_numpy(true), torch.from_numpy(pred)
    ours = pairwise_iou(pred_map, true_map)
    # The loop has every sixteenth object, and its time is scaled: with all it takes minutes.
    share = 16
    few = np.where(pred % share == 0, pred, 0)
    np.testing.assert_allclose(ours[share - 1 :: share].numpy(), naive_iou(few, true))
    (ours_s,) = fastest_s(lambda: pairwise_iou(pred_map, true_map))
    (loop_s,) = fastest_s(lambda: naive_iou(few, true), repetitions=1)
    return Row("pairwise_iou", "loop over pairs of masks", ours_s, loop_s * share)


def bench_decoder() -> Row:
    """Decoding of logits against connected components of the same foreground, which can't split what touches."""
    labels = disks()
    foreground = torch.from_numpy(labels > 0).float() * 8 - 4
    distance = torch.logit(torch.from_numpy(centre_distances(labels)), eps=1e-4)
    logits = torch.stack([-foreground, foreground, distance])
    found = int(decode_semantic(logits).instances.max())
    if found != labels.max():
        raise AssertionError(f"expected {labels.max()} objects, got {found}: the times would mean nothing")
    mask = labels > 0
    times = fastest_s(lambda: decode_semantic(logits), lambda: label(mask, connectivity=1))
    return Row("decode_semantic", "skimage.measure.label alone", *times)


def bench_preparation() -> Row:
    """Preparation of a data set, in one process, against only reading the same files."""
    with tempfile.TemporaryDirectory() as folder:
        make_sample(Path(folder, "raw"), dsb2018_images=SAMPLE_IMAGES, segpc2021_images=1)
        source = Path(folder, "raw", "dsb2018", "stage1_train")
        files = list(source.rglob("*.png"))
        targets = iter(Path(folder, f"prepared{number}") for number in range(3))
        times = fastest_s(
            lambda: prepare_dsb2018(source, next(targets), workers=1),
            lambda: [np.asarray(Image.open(file)) for file in files],
            repetitions=3,
        )
    print(f"prepare_dsb2018: {SAMPLE_IMAGES / times[0]:.1f} images/s, {len(files) / times[0]:.0f} files/s on one core")
    return Row("prepare_dsb2018", "reading its files", *times)


def main() -> None:
    """Run all, print a table."""
    torch.set_num_threads(1)  # baselines have one thread too
    rows = [bench() for bench in (bench_iou, bench_decoder, bench_preparation)]
    print(f"{'what':<24}{'ms':>10}  {'baseline':<28}{'ms':>10}  time / baseline")
    for row in rows:
        ratio = row.ours_s / row.baseline_s
        print(f"{row.what:<24}{row.ours_s * 1e3:>10.1f}  {row.baseline:<28}{row.baseline_s * 1e3:>10.1f}  {ratio:.3g}")


if __name__ == "__main__":
    main()
