"""The set-up's own logic, with a fake Python in place of downloads."""

import os
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Answers like Python, pip and uv, records its arguments, and fails where they contain $FAILS.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >> "$CALLS"
if [ -n "$FAILS" ]; then case "$*" in *"$FAILS"*) exit 1 ;; esac; fi
case "$1 $2" in
    "-V ") echo "Python 3.9.1" ;;
    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg" ;;
esac
"""

pytestmark = pytest.mark.skipif(not (shutil.which("make") and shutil.which("bash")), reason="needs make and bash")


def installed(calls, installer):
    """List what an installer was told to install, without the options of no interest."""
    told = [line.partition(" pip install ")[2] for line in calls.splitlines() if line.startswith("-m uv pip install ")]
    if installer == "pip":
        told = [
            line.removeprefix("-m pip install ") for line in calls.splitlines() if line.startswith("-m pip install ")
        ]
    return [re.sub(r"^(--quiet )?(--python \S+ )?", "", line) for line in told]


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
    assert installed(calls, "uv") == ["--constraint requirements.lock --editable .[dev]"]
    assert setup().returncode == 0
    assert (tmp_path / "calls").read_text() == calls


@pytest.mark.parametrize("options", [{"INSTALLER": "pip"}, {"fails": "-m uv"}, {"fails": "-m uv pip"}])
def test_pip_installs_where_uv_is_not_wanted_or_missing_or_fails(setup, tmp_path, options):
    assert setup(**options).returncode == 0
    assert "--constraint requirements.lock --editable .[dev]" in installed((tmp_path / "calls").read_text(), "pip")


def test_set_up_goes_on_where_there_is_no_uv_for_the_machine(setup):
    process = setup(fails="requirements.lock uv")
    assert process.returncode == 0
    assert "no uv for this machine" in process.stdout


def test_without_the_lock_nothing_is_constrained(setup, tmp_path):
    assert setup(LOCK="none").returncode == 0
    calls = (tmp_path / "calls").read_text()
    assert "--editable .[dev]" in installed(calls, "uv")
    assert "--constraint" not in calls


def test_a_lock_that_is_not_there_is_named(setup):
    process = setup(LOCK="nowhere.lock")
    assert process.returncode != 0
    assert "LOCK=nowhere.lock: no such file" in process.stderr


def test_torch_without_cuda_is_installed_first_and_alone(setup, tmp_path):
    assert setup(TORCH="cpu").returncode == 0
    index = "https://download.pytorch.org/whl/cpu"
    assert installed((tmp_path / "calls").read_text(), "uv")[:2] == [
        f"--constraint requirements.lock --no-deps --index-url {index} torch torchvision",
        "--constraint requirements.lock --editable .[dev]",
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fails": "--index-url"}, "no torch and torchvision of the wanted versions from https://download.pytorch.org"),
        ({"fails": "version.py"}, "has a PyTorch for CUDA"),
        ({"TORCH": "gpu"}, "TORCH must be default, cpu or the address of a package index, got gpu"),
    ],
)
def test_no_other_torch_passes_for_one_without_cuda(setup, options, told):
    process = setup(**{"TORCH": "cpu", **options})
    assert process.returncode != 0
    assert told in process.stderr


def test_what_pip_is_set_up_with_holds_for_uv():
    uv_settings = runpy.run_path(str(ROOT / "tools" / "uv_settings.py"))
    lines = [
        "global.index-url='https://mirror/simple'", "install.index-url='https://nearer/simple'",
        ":env:.extra-index-url='https://a https://b'", "global.find-links='/one\\n/two'", "global.timeout='60'",
    ]  # fmt: skip
    settings = uv_settings["settings_of"](lines)
    assert settings == {
        "UV_DEFAULT_INDEX": "https://nearer/simple", "UV_INDEX": "https://a https://b", "UV_FIND_LINKS": "/one,/two",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }  # fmt: skip
    assert uv_settings["settings_of"]([]) == {}
    exports = uv_settings["as_exports"](settings, {"UV_DEFAULT_INDEX": "of the person"})
    assert "export UV_INDEX='https://a https://b'" in exports
    assert not any("UV_DEFAULT_INDEX" in line for line in exports)


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
    assert f"--constraint requirements.lock --editable .[dev,{name}]" in installed(calls.read_text(), "uv")
