"""Read the files of a raw data set from a folder, or straight from a ZIP archive."""

from __future__ import annotations

import hashlib
import lzma
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from medseg_ext.addresses import is_spelt_as_path
from medseg_ext.errors import DataError
from medseg_ext.files import check_regular, file_sha256, read_regular, told_if_unreadable, unreadable
from medseg_ext.memory import check_bytes

JUNK = {"__MACOSX", "Thumbs.db", "desktop.ini"}  # and whatever starts with a dot


@dataclass(frozen=True)
class Source(ABC):
    """Where raw files come from.

    Attributes:
        path: the folder or archive.
        names: file names inside it with forward slashes, sorted, without what operating systems leave behind.
        passed_over: names of links to folders whose files are in `names` already, under another name.
    """

    path: Path
    names: list[str]
    passed_over: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Give the content of one file. Raises: DataError: it cannot be read."""

    @abstractmethod
    def sha256(self, names: Iterable[str]) -> str:
        """Give one hash that changes when one of the named files does."""

    def parts(self, name: str) -> tuple[str, ...]:
        """Split a name at its slashes, with the source's own name in front: it may tell the part of the set."""
        return self.path.absolute().stem, *name.split("/")

    def where(self, name: str) -> str:
        """Give the full name of a file, for messages."""
        return f"{self.path}/{name}"


@dataclass(frozen=True)
class FolderSource(Source):
    """A folder with everything below it."""

    @classmethod
    def open(cls, path: Path) -> FolderSource:
        """List all files, each real folder once. Raises: DataError: a folder cannot be read."""
        names, repeated = _files_below(path)
        return cls(path, sorted(filter(_is_wanted, names)), passed_over=tuple(sorted(filter(_is_wanted, repeated))))

    def read(self, name: str) -> bytes:
        """Give the content of one file. Raises: DataError: it cannot be read."""
        with told_if_unreadable(self.path / name):
            return read_regular(self.path / name)

    def sha256(self, names: Iterable[str]) -> str:
        """Hash what `sha256sum` prints for the named files, in sorted order."""
        names = sorted(names)
        with ThreadPoolExecutor() as threads:  # hashlib and file reads release the interpreter's lock
            digests = threads.map(lambda name: file_sha256(self.path / name), names)
            listing = "".join(f"{digest}  {name}\n" for digest, name in zip(digests, names, strict=True))
        return hashlib.sha256(os.fsencode(listing)).hexdigest()


@dataclass(frozen=True)
class ZipSource(Source):
    """A ZIP archive, which is read in place and never extracted."""

    archive: zipfile.ZipFile
    members: dict[str, zipfile.ZipInfo]

    @classmethod
    def open(cls, path: Path) -> ZipSource:
        """Read the archive's directory. Raises: DataError: it is none, or a name is unsafe or stands in it twice."""
        try:
            check_regular(path)
            archive = zipfile.ZipFile(path)
        except DataError:
            raise
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError(f"{path} is not a ZIP archive, or is cut short ({error}): download it again") from error
        members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            name = member.filename.replace("\\", "/")  # as some Windows programs write it
            if ".." in name.split("/") or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive:
                raise DataError(f"{path} holds '{name}', which points outside the archive: get it from its origin")
            if member.is_dir() or not _is_wanted(name):
                continue
            if name in members:
                raise DataError(f"{path} holds '{name}' twice: pack the archive anew")
            members[name] = member
        return cls(path, sorted(members), archive, members)

    def read(self, name: str) -> bytes:
        """Give the content of one file. Raises: DataError: it is damaged, too large, encrypted or oddly compressed."""
        check_bytes(self.members[name].file_size, self.where(name), remedy="leave it out of the archive")
        try:
            return self.archive.read(self.members[name])
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError, ValueError) as error:
            raise DataError(f"{self.where(name)} cannot be read ({error}): download the archive again") from error

    def sha256(self, names: Iterable[str]) -> str:
        """Hash the archive itself, as `sha256sum` does; `names` make no difference."""
        return file_sha256(self.path)


def open_source(path: Path | str) -> Source:
    """Open a folder or a ZIP archive.

    Raises: DataError: there is none at `path`, or it holds no file.
    """
    path = Path(path)
    if is_spelt_as_path(path):
        raise DataError(f"{path} is an address, of which medseg segment alone reads: fetch it, and give the folder")
    if not path.exists():
        raise DataError(f"{path} does not exist: give the folder or the ZIP archive as downloaded")
    source: Source = FolderSource.open(path) if path.is_dir() else ZipSource.open(path)
    if not source.names:
        raise DataError(f"{path} is empty: give the folder or the ZIP archive as downloaded")
    return source


def _files_below(top: Path) -> tuple[list[str], list[str]]:
    """List all files below a folder, also by way of links, of which one may lead back to a folder above.

    Each folder is entered once: by its own name if it lies below `top`, else by the first link to it.

    Returns: names of the files; names of the links that were not followed, as their folders are listed already.
    """
    names: list[Path] = []
    repeated: list[Path] = []
    entered: set[str] = set()
    pending = deque([top])  # then links, after all real folders
    while pending:
        for folder, folders, files in os.walk(pending.popleft(), onerror=_refuse):
            if (place := os.path.realpath(folder)) in entered:
                repeated.append(Path(folder))
                folders.clear()
                continue
            entered.add(place)
            names += [Path(folder, file) for file in files]
            pending += [Path(folder, name) for name in sorted(folders) if Path(folder, name).is_symlink()]
    listed, passed_over = ([path.relative_to(top).as_posix() for path in paths] for paths in (names, repeated))
    return listed, passed_over


def _refuse(error: OSError) -> None:
    raise unreadable(error.filename, error) from error


def _is_wanted(name: str) -> bool:
    return not any(part in JUNK or part.startswith(".") for part in name.split("/"))
