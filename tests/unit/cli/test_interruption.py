"""A command that is interrupted ends in one line, whenever it comes."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from pathlib import Path

import pytest
from bundle_runs import quick
from bundle_settings import ROOT

from medseg_ext.cli.interruption import SIGNALS, Interruption
from medseg_ext.cli.main import build_parser, main
from medseg_ext.cli.train import how_to_go_on

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143}


def start(*words: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # A suite that runs in the background hands down an ignored SIGINT; a person at a terminal does not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("module", "number"),
    [
        ("argparse", signal.SIGINT),
        ("medseg_ext.cli.workflow_command", signal.SIGTERM),
        ("numpy", signal.SIGINT),
        ("torch._C", signal.SIGINT),
        ("torch.nn.modules", signal.SIGTERM),
        ("monai.config", signal.SIGINT),
        ("monai.transforms", signal.SIGINT),
    ],
)
def test_while_modules_are_loaded(module, number, tmp_path):
    command = ["segment", ROOT / "docs", "--bundle", "dsb2018_unet", "--output", tmp_path / "out"]
    process = start("-X", "importtime", "-m", "medseg_ext.cli", *command)
    for line in process.stderr:  # a line for every module
        if line.rpartition("|")[2].strip() == module:
            break
    os.killpg(process.pid, number)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == STATUS[number]
    assert [line for line in rest.splitlines() if not line.startswith("import time:")] == ["stopped"]


@pytest.mark.parametrize("to_all", [True, False])
def test_a_training_is_stopped_with_its_workers_and_the_command_that_goes_on(sample_data_sets, tmp_path, to_all):
    out = tmp_path / "my run"
    command = ["train", "--bundle", "dsb2018_unet", "--data", str(sample_data_sets["dsb2018"]), "--output", str(out)]
    command += ["--max_epochs", "1000", "--early_stop_patience", "1000", "--overwrite", "True", *quick(num_workers=2)]
    process = start("-m", "medseg_ext.cli", *command)
    deadline = time.monotonic() + 120
    while not (out / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(workers) >= 2
    number = signal.SIGINT if to_all else signal.SIGTERM
    os.killpg(process.pid, number) if to_all else process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == STATUS[number]
    deadline = time.monotonic() + 5  # for whoever adopts them to bury them
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "Traceback" not in told
    *_, last = told.splitlines()
    told, goes_on = last.split(": ", 1)
    assert told == "stopped; to go on"
    options, keys = build_parser().parse_known_args(shlex.split(goes_on)[1:])
    assert options.output == out
    assert keys[-2:] == ["--resume", "True"]
    assert "--overwrite" not in keys
    assert not list(out.glob(".*"))


@pytest.mark.parametrize(
    ("words", "age", "told"),
    [
        ([], None, " before its first step was done; to begin anew: medseg train"),
        ([], -1, "; to go on: medseg train --resume True"),
        (["--overwrite=True"], -1, "; to go on: medseg train --resume True"),
        (["--overwrite", "True"], 1, " before its first step was done; to begin anew: medseg train --overwrite True"),
        (["--resume", "True"], 1, "; to go on: medseg train --resume True"),
        (["--resume", "False"], None, " before its first step was done; to begin anew: medseg train --resume False"),
        (["--resume=false", "--overwrite=True"], -1, "; to go on: medseg train --resume True"),
        (["--resume=True", "--title", "a b"], 1, "; to go on: medseg train --resume=True --title 'a b'"),
    ],
)
def test_a_training_goes_on_from_its_own_checkpoint_only(tmp_path, words, age, told):
    """It may have replaced an earlier one, or not yet; the age is what the checkpoint has when the command starts."""
    start = time.time()
    if age is not None:
        (tmp_path / "checkpoint.pt").touch()
        os.utime(tmp_path / "checkpoint.pt", (start - age, start - age))
    assert how_to_go_on(Namespace(output=tmp_path), ["train", *words], since=start) == told


def test_signals_are_as_before_when_a_command_ends_and_stay_ignored():
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(SystemExit):
        main(["--help"])
    assert main(["card", "nowhere", "nowhere"]) == 2
    assert [signal.getsignal(number) for number in SIGNALS] == before
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert Interruption().guard(lambda: signal.raise_signal(signal.SIGINT) or 7) == 7
    finally:
        signal.signal(signal.SIGINT, kept)
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(Interruption().guard(lambda: 5)))
    thread.start()
    thread.join()
    assert statuses == [5]


CODE = """
import os, signal, sys, time
from medseg_ext.cli.interruption import Interruption

def command():
    {}

sys.exit(Interruption(ends_process=True).guard(command))
"""


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", 143, "stopped\n"),
        # what a library makes of it
        ("\n    try: os.kill(os.getpid(), 2)\n    except KeyboardInterrupt: raise ImportError", 130, "stopped\n"),
        # the second one ends a process that does not come to an end
        ("\n    try: os.kill(os.getpid(), 2)\n    except KeyboardInterrupt: os.kill(os.getpid(), 15)", 143, ""),
        ("raise SystemExit(3)", 3, ""),
        # when all is done, and Python takes its modules down
        ("import atexit; atexit.register(os.kill, os.getpid(), 2); return 0", 0, ""),
        ("import atexit; atexit.register(os.kill, os.getpid(), 15); return 0", 0, ""),
        # forked processes
        (
            "\n    if os.fork() == 0:\n        os.kill(os.getpid(), 2); os._exit(7)"
            "\n    return os.waitstatus_to_exitcode(os.wait()[1])",
            7,
            "",
        ),
        (
            "\n    if os.fork() == 0:\n        os.kill(os.getpid(), 15); os._exit(7)"
            "\n    return 100 - os.waitstatus_to_exitcode(os.wait()[1])",
            115,
            "",
        ),
    ],
)
def test_whatever_happens_there_is_one_line_at_most(body, status, told):
    process = start("-c", CODE.format(body))
    assert process.communicate(timeout=60)[1] == told
    assert process.returncode == status


def test_of_several_processes_the_first_one_tells(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    process = start("-c", CODE.format("os.kill(os.getpid(), 2)"))
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 130
