import contextlib
import errno
import gc
import os
import re
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from bundle_settings import ROOT
from lock_holders import holder_of

from medseg_ext import folder_lock
from medseg_ext.errors import DataError
from medseg_ext.files import replacing, temporary_folder
from medseg_ext.folder_lock import LOCK_FILE, FolderLock


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_second_run_is_told_who_writes_there_since_when(tmp_path):
    with holder_of(tmp_path) as holder:
        with pytest.raises(DataError) as caught:
            FolderLock(tmp_path, what="an evaluation").acquire()
        assert re.fullmatch(
            rf"{tmp_path} is being written to by a training \(process {holder.pid}, on {socket.gethostname()}, since "
            r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d\): wait for its end, or give another folder",
            str(caught.value),
        )
        assert names_in(tmp_path) == [LOCK_FILE]


def test_a_folder_is_the_same_by_whatever_path(tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path)
    with holder_of(tmp_path / "run"):
        for path in ("run", "link", "run/../link"):
            with pytest.raises(DataError, match=rf"^{path} is being written to by a training"):
                FolderLock(path, what="").acquire()


def test_a_run_that_was_killed_does_not_block_and_what_it_left_half_written_is_removed(tmp_path):
    with holder_of(tmp_path):
        (tmp_path / ".0123456789abcdef.part").write_text("half")
        (tmp_path / ".fedcba9876543210.part").mkdir()
        (tmp_path / ".fedcba9876543210.part" / "instances.tif").write_text("half")
        (tmp_path / ".mine.part").write_text("a person's own")
    assert LOCK_FILE in names_in(tmp_path)
    with FolderLock(tmp_path, what="a training"):
        assert names_in(tmp_path) == [LOCK_FILE, ".mine.part"]
    assert names_in(tmp_path) == [".mine.part"]


def test_what_is_being_written_is_known_as_such(tmp_path):
    with temporary_folder(tmp_path) as folder, replacing(tmp_path / "a") as file:
        (folder / "instances.tif").touch()
        file.touch()
        assert len(names_in(tmp_path)) == 2
        with FolderLock(tmp_path, what=""):
            assert names_in(tmp_path) == [LOCK_FILE]
        file.touch()
    assert names_in(tmp_path) == ["a"]


def test_a_process_that_a_killed_run_has_forked_does_not_hold_its_lock(tmp_path):
    """As workers of a data loader, which end some seconds later."""
    code = f"""
import os, signal, time
from medseg_ext.folder_lock import FolderLock
lock = FolderLock({str(tmp_path)!r}, what="")
lock.acquire()
child = os.fork()
if child == 0:
    time.sleep(600)
print(child, flush=True)
time.sleep(0.3)
os.kill(os.getpid(), signal.SIGKILL)
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    process.wait()
    try:
        with FolderLock(tmp_path, what=""):
            pass
    finally:
        os.kill(child, 9)
        process.stdout.close()


def test_a_forked_process_leaves_the_lock_to_the_one_that_has_it(tmp_path):
    with FolderLock(tmp_path, what="a training") as lock:
        child = os.fork()
        if child == 0:
            lock.release()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert names_in(tmp_path) == [LOCK_FILE]
        take = f"from medseg_ext.folder_lock import *; FolderLock({str(tmp_path)!r}, what='').acquire()"
        refused = subprocess.run([sys.executable, "-c", take], cwd=ROOT, capture_output=True, text=True)
        assert f"is being written to by a training (process {os.getpid()}," in refused.stderr


def test_of_threads_one_writes_and_may_take_the_lock_again(tmp_path):
    ready, done = threading.Event(), threading.Event()

    def write():
        with FolderLock(tmp_path, what="a segmentation"):
            with FolderLock(tmp_path, what="a segmentation"):
                pass
            ready.set()
            done.wait()

    with ThreadPoolExecutor() as threads:
        writing = threads.submit(write)
        ready.wait()
        try:
            with pytest.raises(DataError, match=rf"by a segmentation \(process {os.getpid()},"):
                FolderLock(tmp_path, what="").acquire()
        finally:
            done.set()
        writing.result()
    with FolderLock(tmp_path, what=""):
        pass
    assert names_in(tmp_path) == []


def test_a_workflow_that_failed_blocks_no_further_one_of_its_process_and_none_when_it_is_gone(tmp_path):
    failed = FolderLock(tmp_path, what="")
    failed.acquire()
    with FolderLock(tmp_path, what=""):
        pass
    assert names_in(tmp_path) == [LOCK_FILE]
    del failed
    gc.collect()
    assert names_in(tmp_path) == []


def test_only_folders_that_it_made_are_removed_and_only_empty_ones(tmp_path):
    (tmp_path / "there").mkdir()
    for path in ("there", "new", "new/newer"):
        with FolderLock(tmp_path / path, what=""):
            assert names_in(tmp_path / path) == [LOCK_FILE]
    assert names_in(tmp_path) == ["there"]
    with FolderLock(tmp_path / "new" / "newer", what=""):
        (tmp_path / "new" / "results").touch()
    assert names_in(tmp_path / "new") == ["results"]


def test_a_process_that_leaves_it_to_another_one_takes_nothing(tmp_path):
    with holder_of(tmp_path), FolderLock(tmp_path, what="", enabled=False):
        pass
    with FolderLock(tmp_path / "new", what="", enabled=False):
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_the_file_system_has_no_locks_a_run_goes_on_with_a_warning(tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr(folder_lock.fcntl, "flock", failing_flock(number))
    (tmp_path / ".0123456789abcdef.part").write_text("perhaps of a run that is going on")
    with FolderLock(tmp_path, what=""):
        assert names_in(tmp_path) == [".0123456789abcdef.part"]
    told = capsys.readouterr().err
    assert told.startswith(f"warning: {tmp_path} is on a file system without locks ({os.strerror(number)})")
    assert told.count("\n") == 1


def failing_flock(number):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO])
def test_a_lock_that_cannot_be_asked_for_stays_with_who_holds_it(tmp_path, monkeypatch, number):
    with holder_of(tmp_path):
        with monkeypatch.context() as patched, contextlib.suppress(DataError):
            patched.setattr(folder_lock.fcntl, "flock", failing_flock(number))
            FolderLock(tmp_path, what="").acquire()
        with pytest.raises(DataError, match="is being written to by a training"):
            FolderLock(tmp_path, what="").acquire()


def test_an_error_that_may_pass_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(folder_lock.fcntl, "flock", failing_flock(errno.EIO))
    with pytest.raises(DataError, match=r"cannot be locked .*try again, or another folder"):
        FolderLock(tmp_path, what="").acquire()


def test_garbage_that_is_collected_meanwhile_takes_no_lock_along(tmp_path, monkeypatch):
    failed = [FolderLock(tmp_path, what="")]
    failed[0].acquire()
    is_of_another_thread = folder_lock._Held.is_of_another_thread

    def collect(held):
        failed.clear()
        gc.collect()
        return is_of_another_thread(held)

    monkeypatch.setattr(folder_lock._Held, "is_of_another_thread", collect)
    with FolderLock(tmp_path, what=""):
        assert names_in(tmp_path) == [LOCK_FILE]
    assert names_in(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file cannot be made .*give another folder"):
        FolderLock(tmp_path / "file", what="").acquire()
    (tmp_path / LOCK_FILE).mkdir()
    with pytest.raises(DataError, match=rf"{LOCK_FILE} cannot be written .*give another folder"):
        FolderLock(tmp_path, what="").acquire()


def test_however_often_it_changes_hands_never_do_two_hold_it(tmp_path):
    """The file goes with each holder, and with it the folder: an old one must not be taken for the lock."""
    code = f"""
import os
from pathlib import Path
from medseg_ext.errors import DataError
from medseg_ext.folder_lock import FolderLock
inside, taken = Path({str(tmp_path / "inside")!r}), 0
while taken < 200:
    try:
        with FolderLock({str(tmp_path / "folder")!r}, what=""):
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            inside.unlink()
            taken += 1
    except DataError:
        pass
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    assert [process.communicate()[1] for process in processes] == [""] * 4
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
