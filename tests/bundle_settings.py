"""Which bundles there are, and settings that make their tests quick."""

import multiprocessing
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BUNDLES = sorted(path.parents[1] for path in (ROOT / "bundles").glob("*/configs/metadata.json"))

# One of each workflow, for what does not depend on the network or the data set.
ONE_OF_EACH_WORKFLOW = [bundle for bundle in BUNDLES if bundle.name in ("dsb2018_unet", "segpc2021_mask_rcnn")]

# In `make test-spawned` data loaders have a worker, so that their data are pickled, as on macOS and Windows.
WORKERS = int(multiprocessing.get_start_method(allow_none=True) == "spawn")

# Small and quick, whatever the bundle: what the tests show does not depend on size.
QUICK = {"num_workers": WORKERS, "amp": False, "device": "cpu", "patch_size": [64, 64], "batch_size": 2}


def has_a_twin(bundle: Path) -> bool:
    """Whether the same semantic network, with another number of channels, is tested with the other data set."""
    return bundle.name.startswith("segpc2021") and not bundle.name.endswith("mask_rcnn")


# For tests of minutes: all bundles, of which those with a twin wait for `make test-all`.
TWINS_ARE_SLOW = [pytest.param(bundle, marks=pytest.mark.slow if has_a_twin(bundle) else ()) for bundle in BUNDLES]

QUICK_WORDS = [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]
UNET = ROOT / "bundles" / "dsb2018_unet"
# The networks, each with the nuclei; those but the first take longer.
NETWORKS = [
    pytest.param(bundle, id=bundle.name, marks=() if bundle == UNET else pytest.mark.slow)
    for bundle in BUNDLES
    if bundle.name.startswith("dsb2018")
]
