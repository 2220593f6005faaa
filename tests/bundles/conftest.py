"""Every bundle, found by its metadata."""

import json
from pathlib import Path

import pytest
from bundle_settings import BUNDLES


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def bundle(request: pytest.FixtureRequest) -> Path:
    """Folder of a bundle; each test runs for every one."""
    return request.param


@pytest.fixture
def dataset_dir(bundle: Path, sample_data_sets: dict[str, Path]) -> Path:
    """The prepared sample of a bundle's data set."""
    return sample_data_sets[bundle.name.partition("_")[0]]


@pytest.fixture
def metadata(bundle: Path) -> dict:
    """Content of a bundle's metadata.json."""
    return json.loads((bundle / "configs" / "metadata.json").read_text())
