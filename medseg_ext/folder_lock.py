"""Let only one run at a time write to a folder."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
import threading
import weakref
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from medseg_ext.addresses import is_spelt_as_path
from medseg_ext.errors import DataError
from medseg_ext.files import remove_unfinished

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = ".medseg.lock"
BEYOND_THE_OWNER = 2**30  # of the file: what Windows locks nobody else can read
IS_HELD = {errno.EAGAIN, errno.EACCES}  # by another process
NO_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}  # on this file system
MOST_TRIES = 100  # of several runs that make and remove a folder by turns


class FolderLock:
    """A folder's lock, which one run holds while it writes there.

    The system holds it for the process, in the file `.medseg.lock`, and takes it back when the process ends, however it
    does: what a killed run leaves never blocks. In that file stands who holds it. Inside a thread it may be taken
    again, as by the workflow of a function that has it; it is free when all have released it. Garbage does not hold
    it, nor do processes that are forked.

    Args:
        folder: it is made when the lock is taken, and removed with the lock if it is empty.
        what: is run, for the message to others, such as "a training".
        enabled: False for a process that leaves it to another one of the same run.
    """

    def __init__(self, folder: Path | str, *, what: str, enabled: bool = True) -> None:
        self.folder = Path(folder)
        self.what = what
        self.enabled = enabled
        self._leave: weakref.finalize | None = None

    def acquire(self) -> None:
        """Take the lock, and remove what a killed run has left half-written; without effect where it is held already.

        On a file system without locks it is not taken, with a warning on stderr.

        Raises:
            DataError: another run holds it, and which; or the folder cannot be written to, or is an address.
        """
        if is_spelt_as_path(self.folder):
            raise DataError(
                f"{self.folder} is an address, to which medseg segment --output alone writes: give a folder"
            )
        if not self.enabled or (self._leave and self._leave.alive):
            return
        key = os.path.realpath(self.folder)
        with _guard:
            held = _held.get(key)
            if held is None:
                held = _held[key] = _take(self.folder, self.what)
            held.count += 1  # at once: garbage may be collected any moment, and give the same lock back
            if held.is_of_another_thread():
                held.count -= 1
                raise DataError(_refusal(self.folder, held.owner))
            self._leave = weakref.finalize(self, _leave, key, held)

    def release(self) -> None:
        """Give it back; without effect where it is not held."""
        if self._leave:
            self._leave()

    def __enter__(self) -> FolderLock:
        """Take the lock."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self.release()


class _Held:
    """A lock that this process holds, or the sign that the file system has none.

    Attributes:
        descriptor: of the locked file; None where there are no locks.
        path: of that file.
        made: folders that were made for it, the innermost first.
        owner: what stands in the file.
        count: how often it is taken.
    """

    def __init__(self, descriptor: int | None, path: Path, made: list[Path], owner: dict[str, Any]) -> None:
        self.descriptor = descriptor
        self.path = path
        self.made = made
        self.owner = owner
        self.count = 0
        self.thread = threading.get_ident()

    def is_of_another_thread(self) -> bool:
        """Say whether a thread holds it that is not this one, and runs."""
        running = {thread.ident for thread in threading.enumerate()}
        return self.thread != threading.get_ident() and self.thread in running

    def give_back(self) -> None:
        """Remove the file, while it is locked, and then the lock."""
        if self.descriptor is not None:
            if sys.platform == "win32":  # which removes no open file
                os.close(self.descriptor)
            with contextlib.suppress(OSError):
                self.path.unlink()
            if sys.platform != "win32":
                os.close(self.descriptor)
        with contextlib.suppress(OSError):  # it is not empty
            for folder in self.made:
                folder.rmdir()


_held: dict[str, _Held] = {}  # by the folder's real path
_guard = threading.RLock()  # re-entrant: garbage may be collected inside


def _leave(key: str, held: _Held) -> None:
    with _guard:
        held.count -= 1
        if held.count == 0 and _held.get(key) is held:
            del _held[key]
            held.give_back()


def _forget() -> None:
    """Leave the locks to the process that this one was forked from."""
    global _guard
    _guard = threading.RLock()
    for held in _held.values():
        if held.descriptor is not None:
            os.close(held.descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _take(folder: Path, what: str) -> _Held:
    owner = {
        "what": what,
        "process": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
    }
    path = folder.absolute() / LOCK_FILE
    made = _make(folder)
    for _ in range(MOST_TRIES):
        try:
            descriptor, is_own = _open(path)
        except FileNotFoundError:  # a run that had just made the folder has ended, and removed it
            made = _make(folder)
            continue
        except OSError as error:
            raise DataError(f"{path} cannot be written ({error.strerror}): give another folder") from error
        try:
            _lock(descriptor)
        except OSError as error:
            refusal = _refusal(folder, _owner_in(descriptor))
            os.close(descriptor)
            if error.errno in IS_HELD:
                raise DataError(refusal) from error
            if error.errno not in NO_LOCKS:
                raise DataError(f"{path} cannot be locked ({error.strerror}): try again, or another folder") from error
            if is_own:
                path.unlink(missing_ok=True)
            print(
                f"warning: {folder} is on a file system without locks ({error.strerror}): see to it that no other run "
                "writes there",
                file=sys.stderr,
            )
            return _Held(None, path, made, owner)
        if not _is_at(path, descriptor):
            os.close(descriptor)  # who had it removed the file meanwhile
        elif is_own or os.access(path, os.W_OK) or not _remove(path):
            break
        else:  # what another user's killed run has left
            os.close(descriptor)
    else:
        raise DataError(f"{path} cannot be made: give another folder")
    with contextlib.suppress(OSError):  # such as a full disk: it is for the message only
        os.ftruncate(descriptor, 0)
        os.write(descriptor, json.dumps(owner).encode())
    remove_unfinished(folder)
    return _Held(descriptor, path, made, owner)


def _open(path: Path) -> tuple[int, bool]:
    """Open the file that is locked, also another user's that is to be read only; say whether it was made now."""
    with contextlib.suppress(FileExistsError):
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), True
    try:
        return os.open(path, os.O_RDWR), False
    except PermissionError:
        return os.open(path, os.O_RDONLY), False


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _make(folder: Path) -> list[Path]:
    """Make a folder. Returns: those that were missing, the innermost first."""
    try:
        missing = [each for each in (folder.absolute(), *folder.absolute().parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made ({error.strerror}): give another folder") from error
    return missing


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, BEYOND_THE_OWNER, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _owner_in(descriptor: int) -> dict[str, Any]:
    """Read who holds a lock; nothing is known where it was taken this very moment."""
    try:
        owner = json.loads(os.read(descriptor, 10_000))
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _refusal(folder: Path, owner: dict[str, Any]) -> str:
    who = owner.get("what", "another run")
    known = {"process": "process ", "host": "on ", "since": "since "}
    details = ", ".join(f"{word}{owner[name]}" for name, word in known.items() if name in owner)
    who += f" ({details})" if details else ""
    return f"{folder} is being written to by {who}: wait for its end, or give another folder"
