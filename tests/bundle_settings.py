"""Which bundles there are, and settings that make their tests quick."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUNDLES = sorted(path.parents[1] for path in (ROOT / "bundles").glob("*/configs/metadata.json"))

# One of each workflow, for what does not depend on the network or the data set.
ONE_OF_EACH_WORKFLOW = [bundle for bundle in BUNDLES if bundle.name in ("dsb2018_unet", "segpc2021_mask_rcnn")]

# Small and quick, whatever the bundle: what the tests show does not depend on size.
QUICK = {"num_workers": 0, "amp": False, "device": "cpu", "patch_size": [64, 64], "batch_size": 2}
