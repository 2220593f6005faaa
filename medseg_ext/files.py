"""What every room does with files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import stat
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath, PureWindowsPath

from medseg_ext.errors import DataError
from medseg_ext.memory import check_bytes

LONGEST_ID_BYTES = 220  # file systems end names at 255 bytes, and an ending such as "_instances.nii.gz" is to follow
NOT_SYNCED = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF}  # on this file system
UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.part")  # name of what is being written
WEIGHTS_FILE = "models/model.pt"  # in a bundle: the shipped ones
CALIBRATION_FILE = "score_calibration.json"  # beside the weights of a training
ENGINES_FOLDER = ".engines"  # beside weights: what engines have made of them
MADE_IN_BUNDLES = (
    "eval",
    "__pycache__",
    "model.ts",
    "model.onnx",
    "model.safetensors",
    "model_trt.ts",
    ENGINES_FOLDER,
)  # and not shipped
NOT_IN_IDS = re.compile(
    r"[/\\\x00-\x1f\x7f-\x9f\ud800-\udfff]"
)  # separators, control characters, bytes that are no text


def check_id(image_id: object, where: str) -> str:
    """Refuse an id of an image that cannot name files: it would be written elsewhere, or nowhere.

    Args:
        image_id: what is given as id.
        where: it stands, for the message.
    Returns: the id.
    Raises: DataError: it is no text, is empty, "." or "..", holds a separator of folders, a control character or bytes
        that are no text, or is longer than 220 bytes, which leave room for endings.

    >>> check_id("plate 1, well A3", "dataset.json")
    'plate 1, well A3'
    """
    is_name = isinstance(image_id, str) and image_id not in ("", ".", "..") and not NOT_IN_IDS.search(image_id)
    if not is_name or len(str(image_id).encode()) > LONGEST_ID_BYTES:
        raise DataError(
            f"{where}: the id {image_id!r} cannot name a file: give the image another id, a text of at most "
            f"{LONGEST_ID_BYTES} bytes without slashes and control characters"
        )
    return str(image_id)


def usable_id(name: str) -> str:
    """Make an id that can name files on every system of any name, such as that of a layer.

    >>> usable_id("stack [z=3] / DAPI"), usable_id("...")
    ('stack _z_3_ _ DAPI', 'image')
    """
    return re.sub(r"[^\w .()-]", "_", name).strip(" .")[: LONGEST_ID_BYTES // 4] or "image"


def check_ids(ids: Iterable[tuple[object, str]]) -> None:
    """Refuse ids of images that cannot name files, or of which two would name the same one.

    Args:
        ids: id of each image, and where it stands, for the messages.
    Raises: DataError: as `check_id`; two are the same, for macOS and Windows too: there, case is ignored, and so is how
        accents are written.
    """
    seen: dict[str, tuple[str, str]] = {}
    for image_id, where in ids:
        name = check_id(image_id, where)
        key = file_key(name)
        if key in seen:
            other, elsewhere = seen[key]
            if other == name:
                raise DataError(f"{where} and {elsewhere} have the same id '{name}': remove or rename one")
            what = f"the ids '{name}' and '{other}', which are one file on macOS and Windows: rename one"
            raise DataError(f"{where} and {elsewhere} have {what}")
        seen[key] = name, where


def check_inner_path(path: object, where: str) -> None:
    """Refuse a path of a file in a folder that may lead out of it, on any system.

    Args:
        path: what is given as path, relative to the folder.
        where: it stands, for the message.
    Raises: DataError: it is no text or empty, absolute, has a part "..", a backslash, a control character or bytes that
        are no text.

    >>> check_inner_path("images/plate 1..2.png", "dataset.json")
    """
    is_text = isinstance(path, str) and path != "" and not NOT_IN_IDS.search(path.replace("/", ""))
    if not is_text or PureWindowsPath(str(path)).anchor or ".." in PurePosixPath(str(path)).parts:
        raise DataError(
            f"{where} is {path!r}: expected a path inside the folder, such as images/a.png; bring the file there, or a "
            "link to it"
        )


def as_text(name: str) -> str:
    r"""Replace what is no text: names of files may hold any bytes, which a log or a table cannot.

    >>> as_text("plate_\udcfc.png")
    'plate_\ufffd.png'
    """
    return name.encode(errors="surrogateescape").decode(errors="replace")


def file_key(name: str) -> str:
    r"""Give what is the same for names that are one file somewhere: as macOS does, ignore case and the form of accents.

    >>> file_key("Zelle\u0301 A.png") == file_key("zell\u00e9 a.PNG")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@contextmanager
def replacing(path: Path, *, temporary_in: Path | None = None, at_once: bool = True) -> Iterator[Path]:
    """Give a temporary path beside a file, which replaces it at the end, so that an interruption leaves nothing half.

    Its name is random: containers that share a folder may have processes of one number. It is short, as the file's own
    may be as long as names can be. Where writing fails, it is removed. What is written is on the disk before it gets
    the file's name, so that no loss of power leaves half of it either.

    Args:
        path: the file, or the folder, where a folder is written to the temporary path; it need not exist.
        temporary_in: another folder for the temporary path, on the same file system: that which the run has locked,
            where the file lies below it, so that `remove_unfinished` finds what a killed run has left.
        at_once: have the content and the name on the disk before going on, which may take long. Of many files
            `folder_to_disk` does it at the end, before what says that they are there.
    """
    temporary = _unfinished_in(temporary_in or path.parent)
    try:
        yield temporary
        if at_once:
            tree_to_disk(temporary)
        put_in_place(temporary, path)
        if at_once:
            to_disk(path.parent)
    finally:
        remove_path(temporary)


def put_in_place(made: Path, path: Path) -> None:
    """Move a file or a folder to its place on the same disk, where an older one is replaced.

    Raises: OSError: it cannot be moved; a file replaces no folder.
    """
    if made.is_dir():
        remove_path(path)
    made.replace(path)


def folder_to_disk(folder: Path) -> None:
    """Have the system write all files of a folder, but not of those in it, to the disk, and their names."""
    for path in folder.iterdir():
        if path.is_file() and not path.is_symlink():
            to_disk(path)
    to_disk(folder)


def tree_to_disk(path: Path) -> None:
    """Have the system write a file, or a folder with all that is in it, to the disk, and do nothing where none is."""
    if path.is_dir():
        for folder, _, names in os.walk(path):
            for name in names:
                to_disk(Path(folder, name))
            to_disk(Path(folder))
    elif path.exists():
        to_disk(path)


def to_disk(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk, where it can; Windows opens no folders."""
    with contextlib.suppress(PermissionError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in NOT_SYNCED:
                raise
        finally:
            os.close(descriptor)


@contextmanager
def temporary_folder(parent: Path) -> Iterator[Path]:
    """Make a folder for what is needed for a while; its name is random, as that of `replacing`, and it is removed.

    Args:
        parent: where to make it.
    """
    temporary = _unfinished_in(parent)
    temporary.mkdir()
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_path(path: Path) -> None:
    """Remove a file, a link or a folder, if it is there. Raises: OSError: it cannot be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what `replacing` and `temporary_folder` have left in a folder because they were killed.

    Args:
        folder: in which nobody is writing.
    """
    for entry in folder.iterdir():
        if UNFINISHED.fullmatch(entry.name):
            with contextlib.suppress(OSError):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _unfinished_in(folder: Path) -> Path:
    return folder / f".{secrets.token_hex(8)}.part"


def write_atomically(
    path: Path, content: bytes | str, *, temporary_in: Path | None = None, at_once: bool = True
) -> None:
    """Write bytes, or a text in UTF-8, under a temporary name first, see `replacing`."""
    with replacing(path, temporary_in=temporary_in, at_once=at_once) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def check_regular(path: str | os.PathLike[str]) -> None:
    """Refuse what is no file but a pipe, a device or a folder: reading it may never end.

    Raises: DataError: it is, or is a link to one; names it. OSError: it cannot be opened.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise DataError(f"{path} is no regular file, but a folder, a pipe or a device: leave it out")
    with open(path, "rb"):  # noqa: PTH123 # the system's own message where it cannot be opened
        pass


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Give the content of a file.

    Raises: DataError: as `check_regular`, or it is larger than a file may be, see `medseg_ext.memory`; names it.
        OSError: it cannot be read.
    """
    check_regular(path)
    check_bytes(Path(path).stat().st_size, str(path), remedy="leave it out, or save it smaller")
    return Path(path).read_bytes()


def _opened(path: Path) -> BufferedReader:
    check_regular(path)
    return path.open("rb")


def file_sha256(path: Path) -> str:
    """Hash one file. Raises: DataError: it cannot be read, or is no regular file."""
    with told_if_unreadable(path), _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def told_if_unreadable(path: Path | str) -> Iterator[None]:
    """Turn the system's errors while a file or folder is read into a `DataError` with the remedy, see `unreadable`."""
    try:
        yield
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path | str, error: OSError) -> DataError:
    """Say that the system does not let a file or folder be read, and what to do about it."""
    remedy = "check the disk, and copy it again"
    if isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP:
        remedy = "bring it back, or remove the link to it" if Path(path).is_symlink() else "bring it back"
    elif isinstance(error, PermissionError):
        remedy = "get the right to read it (chmod +rX), or leave it out"
    return DataError(f"{path} cannot be read ({error.strerror or error}): {remedy}")
