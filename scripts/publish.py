"""Bring the figures and pictures of the model cards and of the README up to date. `make cards` calls it."""

from __future__ import annotations

import argparse
from pathlib import Path

from medseg_ext.data import DataError
from medseg_ext.report.card import write_card
from medseg_ext.report.overview import write_overview

ROOT = Path(__file__).parents[1]
FLOORS = {  # the IoU that each is to reach; the report's own figures stand in medseg_ext.report.compare_tables
    "dsb2018_unet": 0.85,
    "dsb2018_unetplusplus": 0.87,
    "dsb2018_segformer": 0.84,
    "dsb2018_mask_rcnn": 0.86,
    "segpc2021_unet": 0.75,
    "segpc2021_unetplusplus": 0.82,
    "segpc2021_segformer": 0.74,
    "segpc2021_mask_rcnn": 0.82,
}


def publish(root: Path, evaluations: Path) -> list[str]:
    """Write the cards of all bundles under `root` and its README.

    Args:
        root: the repository.
        evaluations: folder with the output_dir of an evaluation of each bundle's weights, named like the bundle.

    Returns:
        Lines that tell what was written, and which images a card says nothing of yet.

    Raises:
        DataError: an evaluation or a marker line is missing, or does not fit; names the file and what to do.
    """
    folders = {root / "bundles" / name: evaluations / name for name in FLOORS}
    missing = [name for name, folder in zip(FLOORS, folders.values(), strict=True) if not folder.is_dir()]
    if missing:
        raise DataError(f"{evaluations} has no {', '.join(missing)}: run `make table`, or name another folder")
    lines = []
    for bundle, evaluation in folders.items():
        lines += write_card(bundle, evaluation).report()
    written = write_overview(root / "README.md", folders, floors=FLOORS)
    return [*lines, *map(str, written)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "evaluations",
        type=Path,
        nargs="?",
        default=Path("runs/table"),
        help="folder with one evaluation for each bundle, named like it (default: %(default)s, of `make table`)",
    )
    try:
        print("\n".join(publish(ROOT, parser.parse_args().evaluations)))
    except (OSError, ValueError) as error:
        parser.exit(2, f"error: {error}\n")
