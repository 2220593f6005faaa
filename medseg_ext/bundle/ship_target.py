"""See before anything is loaded whether weights can be shipped to where they are to go."""

from __future__ import annotations

from pathlib import Path

from medseg_ext.bundle.find import CONFIG
from medseg_ext.errors import DataError
from medseg_ext.files import WEIGHTS_FILE
from medseg_ext.networks.weight_files import refuse_no_weights

REMEDY = "give the model.pt of the output_dir of a training of this bundle"


def refuse_shipping(weights: Path, target: Path, *, source: Path | None = None) -> None:
    """Stop before weights are put into a bundle.

    Args:
        weights: such as a run's `model.pt`.
        target: folder of the bundle, or of the copy.
        source: folder of the bundle to copy; None puts them into `target` as it is.

    Raises:
        DataError: a copy would go where something is, or into its bundle; `target` is no bundle; there are no such
            weights, they are the bundle's own, or the state of a training.
    """
    if source is None:
        if not (target / CONFIG).is_file():
            what = "is no bundle" if target.exists() else "does not exist"
            raise DataError(
                f"{target} {what}: give the folder of a bundle, or the one to copy, too: --from BUNDLE (its name or "
                "folder)"
            )
        if weights.resolve() == (target / WEIGHTS_FILE).resolve():
            raise DataError(f"{weights}: is what the bundle has already; {REMEDY}")
    else:
        if target.exists():
            raise DataError(
                f"{target} exists already: give another folder, or leave --from out to ship into that bundle"
            )
        if target.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{target} lies inside the bundle {source}: give a folder outside of it")
    refuse_no_weights(weights, remedy=REMEDY)
