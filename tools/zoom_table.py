"""Compare zoomed validation images with the same images as they are: what magnification does to a bundle.

    python tools/zoom_table.py runs/table/zoomed/dsb2018

reads the evaluations that `make table` made of the folders of `tools/evaluation_sets.py zoomed`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from medseg_ext.errors import DataError
from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.runs.comparison_tables import markdown_table
from medseg_ext.runs.run_folder import EvaluatedRun, load_run

METRICS = ("foreground_iou", "ap_50", "pq")


def score(run: EvaluatedRun, metric: str, ids: Sequence[str]) -> float:
    """Give a metric over some of a run's images."""
    rows = [run.ids.index(image_id) for image_id in ids]
    statistics = torch.as_tensor(run.statistics[metric])[rows]
    return float(metrics_for(run.class_names)[metric].reduce(statistics))


def table(folder: Path) -> Iterator[list[str]]:
    """Give a row for each bundle and zoom: images, and of each metric the zoomed images' and the same images' own."""
    zooms = sorted((path for path in folder.glob("x*")), key=lambda path: float(path.name[1:]))
    names = sorted({path.name for zoom in zooms for path in zoom.iterdir()})
    if not names:
        raise DataError(f"{folder} holds no evaluation of zoomed images: run `make table`")
    for name in names:
        plain = load_run(folder / "x1" / name)
        for zoom in zooms:
            if not (zoom / name).is_dir():
                continue
            run = load_run(zoom / name)
            cells = [f"{score(run, metric, run.ids):.3f} ({score(plain, metric, run.ids):.3f})" for metric in METRICS]
            yield [name, zoom.name.replace("x", "x "), str(len(run.ids)), *cells]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    try:
        rows = list(table(parser.parse_args().folder))
        print("\n".join(markdown_table(["bundle", "zoom", "images", *(f"`{name}` (x 1)" for name in METRICS)], rows)))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
