"""The set-up's own logic, with a fake Python in place of downloads."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Answers like Python and pip, records its arguments, and fails where they contain $FAILS.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
if [ -n "$FAILS" ]; then case "$*" in *"$FAILS"*) exit 1 ;; esac; fi
case "$1 $2" in
    "-V ") echo "Python 3.9.1" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg" ;;
esac
"""

pytestmark = pytest.mark.skipif(not (shutil.which("make") and shutil.which("bash")), reason="needs make and bash")


@pytest.fixture
def setup(tmp_path):
    """Run a target of make on an environment in `tmp_path / "venv"`; returns the finished process."""
    fake = tmp_path / "python"
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)

    def run(*arguments, target="setup", fails="", **options):
        settings = {"VENV": str(tmp_path / "venv"), "PYTHON": str(fake), **options}
        command = ["make", target, *arguments, *(f"{key}={value}" for key, value in settings.items())]
        environment = {"PATH": os.environ["PATH"], "CALLS": str(tmp_path / "calls"), "FAILS": fails}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


def test_set_up_is_done_once(setup, tmp_path):
    assert setup().returncode == 0
    calls = (tmp_path / "calls").read_text()
    assert "-m pip install --editable .[dev]" in calls
    assert setup().returncode == 0
    assert (tmp_path / "calls").read_text() == calls


def test_edited_dependencies_call_for_another_set_up(setup, tmp_path):
    setup()
    assert setup("--question").returncode == 0
    assert setup("--question", "--what-if=pyproject.toml").returncode == 1


def test_failed_set_up_is_done_again_from_scratch(setup, tmp_path):
    assert setup(fails=".[dev]").returncode != 0
    leftover = tmp_path / "venv" / "half_copied_package.py"
    leftover.touch()
    assert setup().returncode == 0
    assert not leftover.exists()


def test_two_set_ups_do_not_disturb_each_other(setup, tmp_path):
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / ".medseg-setup-unfinished").write_text(f"{os.getpid()}\n")
    process = setup()
    assert process.returncode != 0
    assert f"is being set up already, by process {os.getpid()}" in process.stderr
    assert not (tmp_path / "calls").exists()


def test_environment_made_by_hand_is_kept_even_if_set_up_fails(setup, tmp_path):
    setup()
    (tmp_path / "venv" / ".medseg-setup-done").unlink()
    own_package = tmp_path / "venv" / "own_package.py"
    own_package.touch()
    assert setup(fails=".[dev]").returncode != 0
    assert setup().returncode == 0
    assert own_package.exists()


def test_environment_without_detectron2_is_complete_and_says_what_is_missing(setup, tmp_path):
    process = setup(fails="detectron2")
    assert process.returncode == 0
    assert "Detectron2 is not installed" in process.stdout
    assert "*_mask_rcnn" in process.stdout
    assert setup("--question").returncode == 0


def test_trying_detectron2_again_fails_where_it_cannot_be_had(setup):
    assert setup(fails="detectron2", target="detectron2").returncode != 0


def test_skipping_detectron2_installs_nothing_of_it(setup, tmp_path):
    assert "Detectron2 is not installed" in setup(DETECTRON2="skip").stdout
    calls = (tmp_path / "calls").read_text()
    assert ".[detectron2]" not in calls
    assert "tools/detectron2.txt" not in calls


def test_unsupported_python_is_named(setup, tmp_path):
    process = setup(fails="version_info")
    assert process.returncode != 0
    assert "Python 3.11 to 3.13 is needed" in process.stderr
    assert "is Python 3.9.1" in process.stderr
    assert not (tmp_path / "venv").exists()


def test_folder_that_is_no_environment_is_left_alone(setup, tmp_path):
    (tmp_path / "venv").mkdir()
    thesis = tmp_path / "venv" / "thesis.txt"
    thesis.write_text("five years")
    process = setup()
    assert process.returncode != 0
    assert "no virtual environment" in process.stderr
    assert thesis.read_text() == "five years"


@pytest.mark.parametrize("name", ["deploy", "napari"])
@pytest.mark.parametrize("works", [True, False])
def test_environment_of_an_extra_is_done_when_that_works(tmp_path, name, works):
    fake, calls, venv = tmp_path / "python", tmp_path / "calls", tmp_path / "venv"
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)
    process = subprocess.run(
        ["bash", f"tools/setup_{name}.sh"],
        env={
            "PATH": os.environ["PATH"], "PYTHON": str(fake), f"VENV_{name.upper()}": str(venv), "CALLS": str(calls),
            "FAILS": "" if works else {"deploy": "import monai.deploy", "napari": "import napari"}[name],
        },
        cwd=ROOT,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert (process.returncode == 0) is works
    assert (venv / ".medseg-setup-done").exists() is works
    assert f"-m pip install --editable .[dev,{name}]" in calls.read_text()
