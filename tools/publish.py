"""Bring figures and pictures of the cards, docs/results.md and README up to date. `make cards` calls it."""

from __future__ import annotations

import argparse
from pathlib import Path

from front_page import write_front_page
from overview import PublishedFigures, write_overview

from medseg_ext.errors import DataError
from medseg_ext.pages.model_card import write_card

ROOT = Path(__file__).parents[1]
FIGURES = {  # the student report's IoU, whose definition and test images it does not state; and the floor
    "dsb2018_unet": PublishedFigures(0.82, floor=0.875),
    "dsb2018_unetplusplus": PublishedFigures(0.85, floor=0.875),
    "dsb2018_segformer": PublishedFigures(0.75, floor=0.875),
    "dsb2018_mask_rcnn": PublishedFigures(0.91, floor=0.87),
    "dsb2018_deeplabv3plus": PublishedFigures(None, floor=0.875),
    "dsb2018_pspnet": PublishedFigures(None, floor=0.875),
    "segpc2021_unet": PublishedFigures(0.73, floor=0.77),
    "segpc2021_unetplusplus": PublishedFigures(0.81, floor=0.77),
    "segpc2021_segformer": PublishedFigures(0.62, floor=0.77),
    "segpc2021_mask_rcnn": PublishedFigures(0.89, floor=0.77),
    "segpc2021_deeplabv3plus": PublishedFigures(None, floor=0.77),
    "segpc2021_pspnet": PublishedFigures(None, floor=0.77),
}
UNSEEN = {  # of data/unseen, by folder
    "tnbc": "stained breast tissue of 11 patients (TNBC, Naylor et al. 2019)",
    "monuseg": "stained tissue of several organs (MoNuSeg, Kumar et al. 2020)",
    "bbbc039": "fluorescence, U2OS cells (BBBC039, Caicedo et al. 2018)",
}
NOTE = "The student report gives an IoU of {:.2f} for this row and does not state its definition."


def publish(root: Path, evaluations: Path) -> list[str]:
    """Write the cards of all bundles under `root`, its page of results, and what its README shows of them.

    Args:
        root: the repository.
        evaluations: folder with the output_dir of an evaluation of each bundle's weights, named like the bundle.

    Returns:
        Lines that tell what was written, and which images a card says nothing of yet.

    Raises:
        DataError: an evaluation or a marker line is missing, or does not fit; names the file and what to do.
    """
    folders = {root / "bundles" / name: evaluations / name for name in FIGURES}
    missing = [name for name, folder in zip(FIGURES, folders.values(), strict=True) if not folder.is_dir()]
    if missing:
        raise DataError(f"{evaluations} has no {', '.join(missing)}: run `make table`, or name another folder")
    lines = []
    for bundle, evaluation in folders.items():
        reported = FIGURES[bundle.name].reported_iou
        note = "" if reported is None else NOTE.format(reported)
        elsewhere = _elsewhere(evaluations, bundle.name)
        lines += write_card(bundle, evaluation, note=note, elsewhere=elsewhere).report()
        if not elsewhere:
            lines.append(f"{bundle}: no evaluation of other images, so that this part of the card stays as it is")
    unseen = {
        text: {bundle: evaluations / "unseen" / name / bundle for bundle in FIGURES if bundle.startswith("dsb2018_")}
        for name, text in UNSEEN.items()
        if (evaluations / "unseen" / name).is_dir()
    }
    written = write_overview(root / "docs" / "results.md", folders, figures=FIGURES, elsewhere=unseen)
    written += write_front_page(root / "README.md", {bundle.name: folder for bundle, folder in folders.items()})
    return [*lines, *map(str, written)]


def _elsewhere(evaluations: Path, bundle: str) -> dict[str, Path]:
    """Find the evaluations of other images than the test images, by what these are."""
    found = {text: evaluations / "unseen" / name / bundle for name, text in UNSEEN.items()}
    zoomed = evaluations / "zoomed" / bundle.partition("_")[0]
    for folder in sorted(zoomed.glob("x*"), key=lambda folder: float(folder.name[1:])):
        found[f"validation images, {folder.name[0]} {folder.name[1:]}"] = folder / bundle
    return {text: folder for text, folder in found.items() if folder.is_dir()}


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
