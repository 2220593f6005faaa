"""What happens to the target folder is the same for all data sets; it is tested with one of them."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepare_helpers import ROOT, cut_short, hashes, run_script, save

from medseg_ext.datasets.segpc2021 import prepare_segpc2021
from medseg_ext.errors import DataError

IMAGES = 12


@pytest.fixture
def raw(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        mask = np.zeros((40, 50), np.uint8)
        mask[10:20, 5 : 10 + number] = 40
        save(tmp_path / "raw" / "x" / f"{number}.bmp", rng.integers(256, size=(40, 50, 3), dtype=np.uint8))
        save(tmp_path / "raw" / "y" / f"{number}_1.bmp", mask)
    return tmp_path / "raw"


def interrupt(raw: Path, target: Path, monkeypatch) -> int:
    """Let a run end after a few images as a full disk ends it. Returns: number of images done."""
    write_bytes, budget = Path.write_bytes, iter(range(30))

    def until_full(path, data):
        if next(budget, None) is None:
            write_bytes(path, data[:5])
            raise OSError("no space left on device")
        return write_bytes(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", until_full)
        with pytest.raises(OSError, match="no space"):
            prepare_segpc2021(raw, target, workers=1)
    return len(list((target / ".partial" / "done").iterdir()))


def test_two_runs_give_the_same_bytes_whatever_the_number_of_workers(raw, tmp_path):
    prepare_segpc2021(raw, tmp_path / "one", workers=1)
    prepare_segpc2021(raw, tmp_path / "two", workers=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")
    assert len(hashes(tmp_path / "one")) == 3 * IMAGES + 1


def test_an_interrupted_run_is_not_taken_for_complete_and_goes_on_to_the_same_bytes(raw, tmp_path, monkeypatch, capsys):
    prepare_segpc2021(raw, tmp_path / "whole", workers=1)
    done = interrupt(raw, tmp_path / "out", monkeypatch)
    assert 0 < done < IMAGES
    assert not (tmp_path / "out" / "dataset.json").exists()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "images").iterdir()}
    prepare_segpc2021(raw, tmp_path / "out", workers=1)
    assert f"{done} images are done already" in capsys.readouterr().err
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")
    assert sum(path.stat().st_mtime_ns == changed for path, changed in before.items()) >= done


def start(raw: Path, target: Path, *, workers: int, **options: Any) -> subprocess.Popen:
    """Start a run on images large enough to take a while."""
    pixels = np.random.default_rng(0).integers(256, size=(300, 400, 3), dtype=np.uint8)
    for image_id in range(100, 140):
        save(raw / "x" / f"{image_id}.bmp", pixels)
        save(raw / "y" / f"{image_id}_1.bmp", (pixels[..., 0] > 100).astype(np.uint8) * 20)
    command = [sys.executable, "data_scripts/prepare_segpc2021.py", str(raw), str(target), "--workers", str(workers)]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background hands down an ignored SIGINT; a person at a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )


def start_and_signal(raw: Path, target: Path, number: signal.Signals, *, workers: int = 2) -> subprocess.Popen:
    """Start a run, and signal it after the first image."""
    process = start(raw, target, workers=workers)
    deadline = time.monotonic() + 60
    while not list(target.glob(".partial/done/*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    return process


def end_of(process: subprocess.Popen) -> tuple[int, str]:
    """Wait for a run. Returns: exit code, stderr."""
    _, messages = process.communicate(timeout=60)
    return process.returncode, messages


def test_a_second_run_beside_one_that_is_going_on_is_refused_in_one_line(raw, tmp_path):
    first = start_and_signal(raw, tmp_path / "out", signal.SIGSTOP, workers=1)
    before = hashes(tmp_path / "out")
    second = run_script("prepare_segpc2021.py", raw, tmp_path / "out")
    assert second.returncode == 2
    told = f"error: {tmp_path / 'out'} is being written to by a preparation (process {first.pid}, on "
    assert second.stderr.startswith(told)
    assert second.stderr.count("\n") == 1
    assert hashes(tmp_path / "out") == before
    first.send_signal(signal.SIGCONT)
    assert end_of(first)[0] == 0
    prepare_segpc2021(raw, tmp_path / "whole", workers=1)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


def test_a_killed_run_goes_on_to_the_same_bytes(raw, tmp_path):
    end_of(start_and_signal(raw, tmp_path / "out", signal.SIGKILL))
    assert not (tmp_path / "out" / "dataset.json").exists()
    result = run_script("prepare_segpc2021.py", raw, tmp_path / "out")
    assert result.returncode == 0, result.stderr
    assert "images are done already" in result.stderr
    prepare_segpc2021(raw, tmp_path / "whole", workers=1)
    assert hashes(tmp_path / "out") == hashes(tmp_path / "whole")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_with_the_command_that_goes_on_and_leaves_no_data_set(raw, tmp_path, number, status):
    code, messages = end_of(start_and_signal(raw, tmp_path / "out", number))
    assert code == status
    *_, last = messages.splitlines()
    words = ["data_scripts/prepare_segpc2021.py", str(raw), str(tmp_path / "out"), "--workers", "2"]
    assert last.endswith(f"stopped; to go on: {shlex.join(words)}")
    assert "Traceback" not in messages
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert run_script(words[0].removeprefix("data_scripts/"), *words[1:]).returncode == 0


def test_ctrl_c_in_the_terminal_while_workers_start_is_told_in_one_line(raw, tmp_path):
    """All processes get it: those that are just loading modules, too."""
    process = start(raw, tmp_path / "out", workers=2, start_new_session=True)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while len(children.read_text().split()) < 3:  # one of them watches over what they share
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    code, messages = end_of(process)
    assert code == 130
    assert "Traceback" not in messages
    assert "stopped; to go on: " in messages


def test_a_complete_data_set_is_not_written_again(raw, tmp_path, capsys):
    first = prepare_segpc2021(raw, tmp_path / "out", workers=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    assert prepare_segpc2021(raw, tmp_path / "out", workers=1) == first
    assert "complete already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_a_data_set_that_lost_a_file_is_mended(raw, tmp_path):
    prepare_segpc2021(raw, tmp_path / "out", workers=1)
    before = hashes(tmp_path / "out")
    (tmp_path / "out" / "classes" / "3.png").unlink()
    prepare_segpc2021(raw, tmp_path / "out", workers=1)
    assert hashes(tmp_path / "out") == before


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize(("change", "what"), [("source", "sources"), ("seed", "seed"), ("fractions", "fractions")])
def test_output_of_another_source_or_option_is_refused_and_left_alone(
    raw, tmp_path, monkeypatch, complete, change, what
):
    if complete:
        prepare_segpc2021(raw, tmp_path / "out", workers=1)
    else:
        interrupt(raw, tmp_path / "out", monkeypatch)
    before = hashes(tmp_path / "out")
    options = {"seed": {"seed": 1}, "fractions": {"fractions": (0.6, 0.2, 0.2)}, "source": {}}[change]
    if change == "source":
        save(raw / "y" / "3_1.bmp", np.full((40, 50), 20, np.uint8))
    with pytest.raises(DataError, match=rf"out holds .*different: {what}\).*delete that folder"):
        prepare_segpc2021(raw, tmp_path / "out", workers=1, **options)
    assert hashes(tmp_path / "out") == before


def test_a_mended_source_can_be_prepared_into_the_same_folder(raw, tmp_path):
    whole = (raw / "x" / "3.bmp").read_bytes()
    cut_short(raw / "x" / "3.bmp")
    with pytest.raises(DataError, match="cut short"):
        prepare_segpc2021(raw, tmp_path / "out", workers=1)
    (raw / "x" / "3.bmp").write_bytes(whole)
    prepare_segpc2021(raw, tmp_path / "out", workers=1)


def test_a_folder_with_other_files_is_refused_and_left_alone(raw, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").write_text("precious")
    with pytest.raises(DataError, match="out is not empty, and not a data set"):
        prepare_segpc2021(raw, tmp_path / "out", workers=1)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.docx"]


def test_a_target_that_is_a_file_or_inside_the_source_is_refused(raw, tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(DataError, match="out is a file"):
        prepare_segpc2021(raw, tmp_path / "out", workers=1)
    with pytest.raises(DataError, match="lies inside the source"):
        prepare_segpc2021(raw, raw / "out", workers=1)


def test_groups_stay_together_and_reach_the_datalist(raw, tmp_path):
    table = tmp_path / "groups.csv"
    table.write_text("image_id,group,kind\n" + "".join(f"{n},{n // 3},f\n" for n in range(IMAGES)))
    dataset = prepare_segpc2021(raw, tmp_path / "out", groups=table, fractions=(0.5, 0.25, 0.25), workers=1)
    for section in ("training", "validation", "testing"):
        groups = [item["group"] for item in dataset[section]]
        assert all(groups.count(group) == 3 for group in groups)
        assert {item["kind"] for item in dataset[section]} == {"f"}
    assert json.loads((tmp_path / "out" / "dataset.json").read_text())["preparation"]["groups"]["name"] == "groups.csv"
