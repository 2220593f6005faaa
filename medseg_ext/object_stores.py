"""List, fetch, write and remove what is at addresses, by fsspec."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import html
import os
import re
import shutil
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, NamedTuple

from medseg_ext.addresses import PathLike, address_of, inside, is_http, naming_path, secrets_of, shown, without_secrets
from medseg_ext.errors import DataError, is_disk_full, is_out_of_memory

COPIES_KEPT = 2  # of files that are fetched, in a process: the one that is read, and one more
SPARED_BYTES = 10**8  # of the disk
CONNECT_S, SILENCE_S = 30, 120  # after which a server of HTTP is given up
PACKAGES = {  # by scheme: what fsspec needs
    **dict.fromkeys(("http", "https"), "'medseg-ext[remote]'"),
    **dict.fromkeys(("s3", "s3a"), "s3fs"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    "smb": "smbprotocol",
}
STAMPS = (  # of which the first that a client gives changes with a file; "created" is a store's time of its object
    *("ETag", "etag", "md5Hash", "md5Checksum", "Content-MD5", "Digest", "sha", "CRC"),
    *("LastModified", "last_modified", "Last-Modified", "updated", "mtime", "modified", "modifiedTime"),
    *("modificationTime", "modify", "date_time", "created"),
)
HAVE_FOLDERS = ("sftp", "ssh", "smb", "ftp", "hdfs", "webhdfs", "webdav")  # which are made before files are in them


class NotThereError(DataError):
    """Nothing is at an address."""


class Entry(NamedTuple):
    """What is in a folder: its name, its address, whether it is a folder, and its bytes, None where nothing tells."""

    name: str
    address: str
    is_folder: bool
    size: int | None


def filesystem_at(place: PathLike, *, asynchronous: bool = False) -> tuple[Any, str]:
    """Give fsspec's file system of an address, and the path in it.

    Raises: DataError: there is no such scheme, or it needs a package; names that.
    """
    address = address_of(place) or os.fspath(place)
    with told(place):
        from fsspec.core import url_to_fs

        options: dict[str, Any] = {"asynchronous": True} if asynchronous else {}
        if is_http(address):
            options |= {"client_kwargs": _patience()}
        filesystem, path = url_to_fs(address, **options)
        return filesystem, path


@contextmanager
def told(place: PathLike, *, doing: str = "read") -> Iterator[None]:
    """Turn what fsspec and its many clients raise into a `DataError` with the address, but no secrets, and the remedy.

    Args:
        place: address that is worked with.
        doing: "read" or "written to".
    """
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # of a dozen packages
        if is_out_of_memory(error) or is_disk_full(error):
            raise
        # fsspec's own says "not there" of whatever HTTP answers; what it comes from tells more.
        origin = error.__cause__ if isinstance(error, FileNotFoundError) and error.__cause__ is not None else error
        if isinstance(origin, FileNotFoundError) or _status(origin) == "404":
            hint = ", where # and ? in names are written %23 and %3F" if is_http(os.fspath(place)) else ""
            what: DataError = NotThereError(f"{shown(place)} is not there: check the address{hint}")
        else:
            what = DataError(f"{shown(place)} {_what_and_remedy(origin, place, doing)}")
        # Whoever prints a traceback prints the texts of clients, too, which have the whole address.
        raise what from (None if secrets_of([shown(place)]) else error)


def reason(error: BaseException) -> str:
    """Give an error's text in one line, without what is secret in addresses."""
    text = " ".join(str(error).split())
    return without_secrets(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def is_refusal(error: BaseException) -> bool:
    """Say whether an error is that one has no right to something."""
    return isinstance(error, PermissionError) or _status(error) in ("401", "403")


def _status(error: BaseException) -> str:
    """Give what a server of HTTP answered, under whichever name a client has it; empty where it did not."""
    found = (getattr(error, name, None) for name in ("status", "status_code", "code"))
    return str(next((each for each in found if each), ""))


def _what_and_remedy(error: BaseException, place: PathLike, doing: str) -> str:
    scheme = os.fspath(place).partition(":")[0].lower()
    text = reason(error)
    if isinstance(error, ImportError):
        package = PACKAGES.get(scheme)
        how = f"pip install {package}" if package else " ".join(str(error).split())
        return f"needs a package for addresses of {scheme}: {how}"
    if isinstance(error, ValueError) and "Protocol not known" in text:
        return f"has the scheme {scheme}, which fsspec does not know: give s3, gs, az, https or another of fsspec's"
    if is_refusal(error) or re.search("credential|forbidden", text, re.IGNORECASE):
        return (
            f"cannot be {doing} ({text}): get the right to it, or give credentials as fsspec takes them, by its "
            "configuration or the environment"
        )
    return f"cannot be {doing} ({text}): check the address and the connection, and try again"


def describe(place: PathLike) -> tuple[int | None, str]:
    """Give the bytes of a file, and what changes with it, such as its time; None and empty where nothing tells.

    Raises: DataError: it is not there, or cannot be read.
    """
    filesystem, path = filesystem_at(place)
    with told(place):
        info = filesystem.info(path)
    return info.get("size"), next((str(info[key]) for key in STAMPS if info.get(key)), "")


def is_there(place: PathLike) -> bool:
    """Say whether there is something at an address, as far as one may know. Raises: DataError: nothing tells."""
    filesystem, path = filesystem_at(place)
    with told(place):
        try:
            return bool(filesystem.exists(path))
        except Exception as error:
            if is_refusal(error):  # which stores answer to whoever may not list them, for what is not there, too
                return False
            raise


def list_folder(place: PathLike) -> list[Entry]:
    """List what is in the folder at an address, in order of names; a file has nothing in it.

    Raises: NotThereError: nothing is there. DataError: it cannot be read.
    """
    filesystem, path = filesystem_at(place)
    with told(place):
        filesystem.invalidate_cache(path)  # what was there before
        found = filesystem.ls(path, detail=True)
    root = f"{path.strip('/')}/".lstrip("/")  # clients begin paths with a slash, or do not, above all at the root
    entries = {}
    for each in found:
        full = each["name"].lstrip("/")
        inner = full.removeprefix(root) if full.startswith(root) else ""
        if is_http(root):
            inner = html.unescape(inner).partition("?")[0]  # pages link to themselves in another order, too
        name = inner.rstrip("/")
        if name and "/" not in name:
            address, is_folder = inside(shown(place), name), each["type"] == "directory"
            size = None if is_folder else each.get("size")
            entries[address] = Entry(naming_path(address).name, address, is_folder, size)
    return sorted(entries.values())


def sizes_below(place: PathLike) -> dict[str, int]:
    """Give the bytes of all files in a folder and the folders in it, by their paths from there."""
    filesystem, path = filesystem_at(place)
    with told(place):
        found = filesystem.find(path, detail=True)
    return {name.removeprefix(path).lstrip("/"): int(info["size"] or 0) for name, info in found.items()}


def read_start(place: PathLike, n_bytes: int) -> bytes:
    """Read the first bytes of a file. Raises: DataError: it cannot be read."""
    filesystem, path = filesystem_at(place)
    with told(place):
        return bytes(filesystem.cat_file(path, start=0, end=n_bytes))


def download(place: PathLike, target: Path) -> None:
    """Fetch a file.

    Raises: DataError: it is no file, cannot be read, is cut short, or larger than the disk has room for.
    """
    filesystem, path = filesystem_at(place)
    size, _ = describe(place)
    room = shutil.disk_usage(target.parent).free - SPARED_BYTES
    _refuse_too_large(place, size or 0, room, target.parent)
    with told(place):
        from fsspec.callbacks import Callback

        class Watch(Callback):
            def relative_update(self, inc: int = 1) -> None:
                super().relative_update(inc)
                _refuse_too_large(place, self.value, room, target.parent)

        filesystem.get_file(path, str(target), callback=Watch())
    if not target.is_file():
        raise DataError(f"{shown(place)} is a folder, where a file is expected: give the files in it")
    came = target.stat().st_size
    if size not in (None, came):
        raise DataError(f"{shown(place)} came cut short ({came} of {size} bytes): check the connection, and try again")


def _refuse_too_large(place: PathLike, size: int, room: int, folder: Path) -> None:
    if size > room:
        raise DataError(
            f"{shown(place)} has {size / 1e6:.0f} MB, and {folder} room for {max(0, room) / 1e6:.0f} MB: free some, or "
            "set TMPDIR to a folder with more"
        )


class _Copies:
    """The latest files that this process has fetched, in a temporary folder that goes with the process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._process = 0
        self._folder = Path()
        self._paths: OrderedDict[tuple[str, int | None, str], Path] = OrderedDict()  # by address, size and time

    def path_of(self, place: PathLike) -> Path:
        """Give the local copy of a file, fetched where it is not at hand, or has changed since."""
        filesystem, path = filesystem_at(place)
        filesystem.invalidate_cache(path)
        key = (address_of(place) or os.fspath(place), *describe(place))
        with self._guard:
            self._begin()
            if key not in self._paths:
                while len(self._paths) >= COPIES_KEPT:
                    self._paths.popitem(last=False)[1].unlink(missing_ok=True)
                self._paths[key] = self._fetch(place, repr(key))
            self._paths.move_to_end(key)
            return self._paths[key]

    def _begin(self) -> None:
        if self._process != os.getpid():  # a process that was forked has its own
            self._process = os.getpid()
            self._paths.clear()
            self._folder = Path(tempfile.mkdtemp(prefix="medseg-fetched-"))
            # And not `atexit`, which workers that load images leave out.
            Finalize(None, shutil.rmtree, args=(self._folder,), kwargs={"ignore_errors": True}, exitpriority=0)

    def _fetch(self, place: PathLike, key: str) -> Path:
        name = re.sub(r"[^\w.-]", "_", naming_path(place).name, flags=re.ASCII)[-60:]  # its ending tells the format
        path = self._folder / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}-{name}"
        try:
            download(place, path)
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return path


_copies = _Copies()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: setattr(_copies, "_guard", threading.Lock()))


@contextmanager
def at_hand(path: PathLike) -> Iterator[Path]:
    """Give a local file: the path itself, or the copy of what is at an address, which errors then name instead.

    The copy stays at hand until two others are fetched.

    Raises: DataError: as `download`.
    """
    if address_of(path) is None:
        yield Path(path)
        return
    copy = _copies.path_of(path)
    try:
        yield copy
    except Exception as error:  # of the many libraries that read
        if str(copy) not in str(error):
            raise
        raise DataError(str(error).replace(str(copy), shown(path))) from error


def upload(folder: str, files: Mapping[str, Path]) -> None:
    """Write files to a folder at an address, whatever is there before.

    Args:
        folder: its address.
        files: by their paths from there.

    Raises:
        DataError: one cannot be written; names the folder and the remedy.
    """
    if not files:
        return
    filesystem, root = filesystem_at(folder)
    targets = [f"{root.rstrip('/')}/{name}" for name in files]
    with told(folder, doing="written to"):
        if folder.partition(":")[0].lower() in HAVE_FOLDERS:
            for parent in dict.fromkeys(target.rpartition("/")[0] for target in targets):
                filesystem.makedirs(parent, exist_ok=True)
        filesystem.put([str(file) for file in files.values()], targets)


def remove(folder: str, names: Iterable[str]) -> None:
    """Remove what is in a folder at an address, if it is there. Raises: DataError: it cannot be removed."""
    for name in names:
        filesystem, root = filesystem_at(folder)
        target = f"{root.rstrip('/')}/{name}"
        with told(folder, doing="written to"):
            try:
                if glob.escape(target) == target:
                    filesystem.rm(target, recursive=True)
                else:  # which `rm` would take for a pattern, and remove what else fits
                    for file in filesystem.find(target):
                        filesystem.rm_file(file)
            except Exception as error:  # such as FTP's, that says the same of what is not there, and may not be removed
                if not isinstance(error, FileNotFoundError) and filesystem.exists(target):
                    raise


def _patience() -> dict[str, Any]:
    """Give the time that servers of HTTP have: by default each file has five minutes, however large it is."""
    from aiohttp import ClientTimeout
    from fsspec.config import conf

    own = {**conf.get("http", {}), **conf.get("https", {})}.get("client_kwargs", {})
    return {"timeout": ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S), **own}
