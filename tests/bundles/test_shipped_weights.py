"""The shipped weights are undamaged, small, and safe to load."""

import pytest
import torch
import yaml
from bundle_settings import BUNDLES
from monai.bundle import download_large_files

LARGEST_MB = {"mask_rcnn": 25}  # of one file, by model
LARGEST_OTHER_MB = 16
LARGEST_TOTAL_MB = 100

# Also those of Mask R-CNN without Detectron2: no network is made.
every_bundle = pytest.mark.parametrize("bundle", BUNDLES, ids=lambda path: path.name)


@every_bundle
def test_the_weights_have_the_hash_that_the_bundle_says(bundle):
    (entry,) = yaml.safe_load((bundle / "large_files.yml").read_text())["large_files"]
    assert entry["path"] == "models/model.pt"
    download_large_files(str(bundle))  # MONAI's check; it fetches nothing where the file is there


@every_bundle
def test_the_weights_are_half_precision_and_load_without_running_code(bundle):
    state = torch.load(bundle / "models" / "model.pt", weights_only=True)
    kinds = {value.dtype for value in state.values() if value.is_floating_point()}
    assert kinds == {torch.float16}
    assert all(torch.isfinite(value).all() for value in state.values())


def test_no_weights_are_larger_than_agreed():
    size_mb = {bundle.name: (bundle / "models" / "model.pt").stat().st_size / 1e6 for bundle in BUNDLES}
    too_large = {
        name: size for name, size in size_mb.items() if size > LARGEST_MB.get(name.partition("_")[2], LARGEST_OTHER_MB)
    }
    assert too_large == {}
    assert sum(size_mb.values()) <= LARGEST_TOTAL_MB
