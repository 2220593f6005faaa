"""Which bundles there are, and settings that make their tests quick."""

import json
import multiprocessing
import re
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


def one_of_each(config_file: str, key: str) -> list[Path]:
    """Give the bundles that differ in a key of a config or what it refers to: of those alike the first."""
    found: dict[str, Path] = {}
    for bundle in BUNDLES:
        config = json.loads((bundle / config_file).read_text())
        contents: dict[str, object] = {}
        waiting = [key]
        while waiting:
            name = waiting.pop()
            if name not in contents:
                contents[name] = value = _value_of(config, name)
                waiting += re.findall(r"[@%]([\w#]+)", json.dumps(value))
        found.setdefault(json.dumps(contents, sort_keys=True), bundle)
    return list(found.values())


def _value_of(config: object, name: str) -> object:
    for part in name.split("#"):
        config = config[int(part)] if isinstance(config, list) else config[part]
    return config


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
