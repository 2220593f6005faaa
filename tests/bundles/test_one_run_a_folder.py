"""Of two runs into one folder the second one is refused before it writes, however it is started."""

import pytest
from arrivals import by_monai
from bundle_runs import run_bundle
from bundle_settings import UNET
from lock_holders import holder_of
from PIL import Image

from medseg_ext.bundle.causes import cause_of
from medseg_ext.bundle.workflow import run_workflow
from medseg_ext.errors import DataError
from medseg_ext.folder_lock import FolderLock

WORKFLOWS = ("train", "evaluate", "inference")


@pytest.fixture
def taken(tmp_path):
    """A folder into which another process writes, with the files that runs replace or remove."""
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("model.pt", "run.json", "summary.csv", "gallery.html"):
        (folder / name).write_text("of the other run")
    with holder_of(folder):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        yield folder
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def settings_for(workflow, data, out):
    return {"dataset_dir": data, "output_dir": out} | ({"resume": True} if workflow == "train" else {})


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_every_workflow_of_every_bundle_is_refused_by_python_and_by_monais_command_line(
    bundle, workflow, taken, tmp_path, monkeypatch
):
    settings = settings_for(workflow, tmp_path, taken)
    with pytest.raises(DataError, match="out is being written to by a training"):
        run_workflow(bundle, workflow, settings)
    words = [word for key, value in settings.items() for word in (f"--{key}", value)]
    with pytest.raises(RuntimeError) as caught:
        by_monai(monkeypatch, "--config_file", bundle / "configs" / f"{workflow}.json", *words)
    assert isinstance(cause_of(caught.value), DataError)


def test_the_front_door_says_it_in_one_line(taken, tmp_path):
    Image.new("L", (32, 32)).save(tmp_path / "a.png")
    words = ["segment", tmp_path / "a.png", "--bundle", UNET, "--output", taken]
    result = run_bundle(*words, module="medseg_ext.cli")
    assert result.returncode == 2
    *_, last = result.stderr.splitlines()
    assert last.startswith(f"error: {taken} is being written to by a training (process ")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_a_run_that_ends_or_fails_leaves_neither_lock_nor_folder(workflow, tmp_path):
    """It fails for want of data, after the lock is taken."""
    with pytest.raises(DataError, match="nowhere"):
        run_workflow(UNET, workflow, settings_for(workflow, tmp_path / "nowhere", tmp_path / "out"))
    with FolderLock(tmp_path / "out", what=""):
        pass
    assert list(tmp_path.iterdir()) == []
