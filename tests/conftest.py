"""What the tests share: the generated sample, prepared once; every bundle, found by its metadata."""

import json
import os
import sys
from pathlib import Path

import pytest
from bundle_settings import BUNDLES, ONE_OF_EACH_WORKFLOW
from filelock import FileLock  # PyTorch needs it, too
from sample_data_sets import prepare_sample, sets_of_sample


@pytest.fixture(scope="session")
def sample_data_sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Prepared data set folders of the generated sample, by data set name; prepared by one of pytest's processes."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return prepare_sample(tmp_path_factory.mktemp("sample"))
    folder = tmp_path_factory.getbasetemp().parent / "sample"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "is_done").exists():
            prepare_sample(folder)
            (folder / "is_done").touch()
    return sets_of_sample(folder)


@pytest.fixture(params=BUNDLES, ids=lambda path: path.name)
def bundle(request: pytest.FixtureRequest) -> Path:
    """Folder of a bundle; each test runs for every one, those of Mask R-CNN where Detectron2 is installed."""
    if request.param.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    return request.param


@pytest.fixture(params=ONE_OF_EACH_WORKFLOW, ids=lambda path: path.name)
def a_bundle(request: pytest.FixtureRequest) -> Path:
    """Folder of a bundle, one of each workflow: for what all of them share."""
    if request.param.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    return request.param


@pytest.fixture
def dataset_dir(request: pytest.FixtureRequest, sample_data_sets: dict[str, Path]) -> Path:
    """The prepared sample of a bundle's data set."""
    name = "bundle" if "bundle" in request.fixturenames else "a_bundle"
    return sample_data_sets[request.getfixturevalue(name).name.partition("_")[0]]


@pytest.fixture
def metadata(bundle: Path) -> dict:
    """Content of a bundle's metadata.json."""
    return json.loads((bundle / "configs" / "metadata.json").read_text())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that take longest first, so that no process is left alone with one at the end.

    The second one does without the sample, which the process of the first one draws meanwhile.
    """
    longest = ("test_workflows.py", "test_tutorial.py", "test_export.py", "test_workflow_mistakes.py")
    items.sort(key=lambda item: longest.index(item.path.name) if item.path.name in longest else len(longest))


@pytest.fixture(scope="module")
def intervals_of_few_images():
    """Let toy runs of a few images have intervals, which are refused below ten groups otherwise."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medseg_ext.metrics.bootstrap.LEAST_GROUPS", 2)
        yield


@pytest.fixture(scope="session", autouse=True)
def stderr_of_absl():
    """Keep open what pytest captures: a bundle's logging.conf closes the handlers before it, and with that of absl,
    which TensorBoard imports, the stderr that it found then.
    """
    import absl.logging as absl_logging

    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__
