"""What is killed, stopped, starved or refused goes on, and ends with the result of an undisturbed run.

`make faults` runs it, and prints how many faults were survived; KILLS=200 tries more. Minutes long.
"""

import os
import random
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter

import pytest
from jobs import differences, half_written, leftovers, make_jobs, results_of

pytestmark = pytest.mark.faults
KILLS = int(os.environ.get("KILLS", "50"))
SEED = int(os.environ.get("SEED", "0"))
NAMES = ("prepare", "train", "evaluate", "segment", "segment by Dask", "export")
STATUS = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}
LONGEST_S = 300
survived: Counter = Counter()


@pytest.fixture(scope="module")
def jobs(sample_data_sets, tmp_path_factory):
    prepared = sample_data_sets["dsb2018"]
    raw = prepared.parent / "raw" / "dsb2018" / "stage1_train"
    return {job.name: job for job in make_jobs(raw, prepared, tmp_path_factory.mktemp("jobs"))}


@pytest.fixture(scope="module")
def undisturbed(server, jobs, tmp_path_factory):
    """The result of each job, and the seconds that it takes, as they are asked for."""
    known = {}

    def run(name):
        if name not in known:
            out = tmp_path_factory.mktemp("undisturbed") / "out"
            ended = server.run(*jobs[name].command(out), timeout_s=LONGEST_S)
            assert ended.status == 0, ended.err[-3000:]
            known[name] = results_of(out), ended.seconds
        return known[name]

    return run


@pytest.fixture(scope="module", autouse=True)
def counts(capsys_of_module):
    started = time.monotonic()
    yield
    with capsys_of_module():
        print(f"\nsurvived: {dict(survived)}, {sum(survived.values())} together, {time.monotonic() - started:.0f} s")


@pytest.fixture(scope="module")
def capsys_of_module(request):
    return request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled


@pytest.fixture
def small_disk(tmp_path):
    """A file system in memory of some kilobytes, and how to change its size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(kilobytes, *more):
        options = ",".join([*more, f"size={kilobytes}k", "mode=777"])
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode

    if resize(200):
        pytest.skip("a file system can be mounted by root only")
    yield folder, lambda kilobytes: resize(kilobytes, "remount")
    subprocess.run(["umount", "-l", folder], check=True)


def check_ended(out, expected):
    assert differences(results_of(out), expected) == []
    assert leftovers(out) == []


def as_told(ended):
    """The words of the command that the last line tells."""
    told, _, goes_on = ended.last_line.rpartition(": medseg ")
    assert told, ended.last_line
    return shlex.split(goes_on)


def kills_of(name, jobs):
    shares = sum(job.share for job in jobs.values())
    return max(1, round(KILLS * jobs[name].share / shares))


@pytest.mark.parametrize("name", NAMES)
def test_killed_at_random_moments_it_goes_on_to_the_same_result(name, server, jobs, undisturbed, tmp_path):
    """A third are told to stop, and say how to go on; the others are killed. Some are killed again while they go on."""
    expected, seconds = undisturbed(name)
    chance = random.Random(f"{SEED} {name}")
    left, trial = kills_of(name, jobs), 0
    while left:
        out = tmp_path / f"{trial} #"
        words, trial = jobs[name].command(out), trial + 1
        for _ in range(min(left, chance.randint(1, 3))):
            number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
            command = server.start(*words)
            if not command.has_ended(chance.uniform(0, seconds)):
                command.signal(number)
                survived[f"{name}, {number.name}"] += 1
                left -= 1
            ended = command.wait(60)
            where = f"{name}, trial {trial}, {number.name}: {ended.last_line}"
            assert not ended.killed_at_deadline, where
            assert command.left_behind() == [], where
            assert half_written(out) == [], where
            if ended.status == 0:
                break
            assert ended.status == STATUS[number], where
            words = jobs[name].command(out, again=True)
            if number != signal.SIGKILL:
                assert "Traceback" not in ended.err, ended.err
                assert ended.last_line.startswith("stopped"), where
                if ": medseg " in ended.last_line:  # not while modules are loaded
                    words = as_told(ended)
        if ended.status:
            ended = server.run(*words, timeout_s=LONGEST_S)
        assert ended.status == 0, (words, ended.err[-3000:])
        check_ended(out, expected)
        shutil.rmtree(out)


@pytest.mark.parametrize("name", ["prepare", "train", "evaluate", "segment", "export"])
def test_on_a_full_disk_it_says_so_and_goes_on_when_there_is_room(name, server, jobs, undisturbed, small_disk):
    expected, _ = undisturbed(name)
    disk, resize = small_disk
    ended = server.run(*jobs[name].command(disk / "out"), timeout_s=LONGEST_S)
    assert ended.status in (1, 2), ended.err
    assert "Traceback" not in ended.err, ended.err
    assert "No space left on device" in ended.err + ended.out
    assert half_written(disk) == []
    resize(200_000)
    words = jobs[name].command(disk / "out", again=True)
    if ": medseg " in ended.last_line:
        words = as_told(ended)
    ended = server.run(*words, timeout_s=LONGEST_S)
    assert ended.status == 0, ended.err
    check_ended(disk / "out", expected)
    survived[f"{name}, full disk"] += 1


@pytest.mark.parametrize("name", ["prepare", "train", "evaluate", "segment", "export"])
def test_without_the_right_to_write_it_ends_in_a_line(name, server, jobs, tmp_path):
    (out := tmp_path / "out").mkdir()
    out.chmod(0o555)
    ended = server.run(*jobs[name].command(out), without_rights=True)
    assert ended.status == 2
    assert ended.last_line.startswith("error: ")
    assert str(out) in ended.last_line
    assert "Traceback" not in ended.err
    assert list(out.iterdir()) == []
    survived[f"{name}, no right to write"] += 1


@pytest.mark.parametrize("name", ["prepare", "train", "evaluate", "segment"])
@pytest.mark.parametrize("more_mb", [4, 24, 64])
def test_with_too_little_memory_it_says_so_or_is_done(name, more_mb, server, jobs, undisturbed, tmp_path):
    expected, _ = undisturbed(name)
    out = tmp_path / "out"
    ended = server.run(*jobs[name].command(out), limits={"RLIMIT_AS": more_mb << 20}, timeout_s=LONGEST_S)
    assert not ended.killed_at_deadline
    assert half_written(out) == []
    if ended.status == 0:
        return check_ended(out, expected)
    assert ended.status in (1, 2), ended.err
    assert any(word in ended.err + ended.out for word in ("memory", "GB are given")), ended.err
    ended = server.run(*jobs[name].command(out, again=True), timeout_s=LONGEST_S)
    assert ended.status == 0, ended.err
    check_ended(out, expected)
    survived[f"{name}, little memory"] += 1
