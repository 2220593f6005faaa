"""Whole segmentations: from image files to the files of the results, by networks that are loaded."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.aims import AtMost, Faster, FasterThanFormer
from benchmarks.pictures import ROOT, images, items
from benchmarks.rows import OURS, PEERS, Contender, Row
from benchmarks.worker import Work

MEGAPIXELS = 1.0
N_CELLS_IMAGES = 4  # a folder, in which what is done once for all images is not done for one
CELLS_SIZE = (2040, 1536)  # width and height of most images of SegPC-2021
FORMER_CELLS = 13.4  # of the yardstick: `make bench BENCH=segment_segpc` of commit 53950bb

ROWS = [
    Row(
        "segment",
        "`segment`, U-Net of DSB2018, files to files",
        [
            Contender(OURS, "benchmarks.segmentation:ours", {"bundle": "dsb2018_unet", "megapixels": MEGAPIXELS}),
            Contender("StarDist", "benchmarks.peers.stardist:network", {"megapixels": MEGAPIXELS}, PEERS),
            Contender("Cellpose 3", "benchmarks.peers.cellpose:network", {"megapixels": MEGAPIXELS}, PEERS),
            Contender("InstanSeg", "benchmarks.peers.instanseg:network", {"megapixels": MEGAPIXELS}, PEERS),
        ],
        [AtMost(0.5), Faster("StarDist", 5)],
        seconds=60,
        unit="Mpx",
        left_out="The others only run their network, with random weights, on pixels in memory and at their scale; ours "
        "reads files, finds the size of the objects, decodes, measures and writes.",
        is_of_networks=True,
    ),
    Row(
        "segment_segpc",
        f"`segment`, U-Net of SegPC-2021, {N_CELLS_IMAGES} images of 2040 x 1536",
        [
            Contender(OURS, "benchmarks.segmentation:ours_on_cells", {"bundle": "segpc2021_unet"}),
            Contender("yardstick", "benchmarks.yardstick:job"),
        ],
        [FasterThanFormer(4, FORMER_CELLS, "yardstick")],
        seconds=60,
        unit="image",
        left_out="The yardstick is a fixed job for the processor, which stands for its speed.",
    ),
]


def ours(bundle: str, megapixels: float, device: str = "cpu", **overrides: Any) -> Work:
    """Segment images of DSB2018 by a bundle."""
    paths, total = images("dsb2018", megapixels=megapixels)
    return Work(segmentation(bundle, paths, device, **overrides), total)


def ours_on_cells(bundle: str, device: str = "cpu") -> Work:
    """Segment images of cells, enlarged to the size that a microscope gave."""
    folder = _folder("cells")
    paths = []
    for item in items("segpc2021")[:N_CELLS_IMAGES]:
        paths.append(folder / Path(item["image"]).name)
        Image.open(item["image"]).resize(CELLS_SIZE, Image.Resampling.BICUBIC).save(paths[-1])
    return Work(segmentation(bundle, paths, device), len(paths))


def segmentation(bundle: str, paths: list[Path], device: str, **overrides: Any) -> Callable[[], int]:
    """Build what `medseg segment` builds, and give what it then does for the images; without the gallery."""
    from monai.bundle import ConfigWorkflow

    logging.disable(logging.CRITICAL)
    output = _folder(f"{bundle}_{device}")
    workflow = ConfigWorkflow(
        str(ROOT / "bundles" / bundle / "configs" / "inference.json"),
        workflow_type="infer",
        logging_file=False,
        bundle_root=str(ROOT / "bundles" / bundle),
        dataset_dir=[str(path) for path in paths],
        output_dir=str(output),
        device=device,
        num_workers=0,
        **overrides,
    )
    workflow.initialize()

    def segment() -> int:
        workflow.run()
        rows = list(csv.DictReader((output / "summary.csv").open()))
        if any(row["status"] != "ok" for row in rows):
            raise RuntimeError(f"failed: {rows}")
        return sum(int(row["objects"]) for row in rows)

    return segment


def _folder(name: str) -> Path:
    folder = ROOT / "out" / "bench" / "files" / f"{name}_{os.getpid()}"
    folder.mkdir(parents=True)
    return folder
