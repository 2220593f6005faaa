"""What every room does with files."""

from __future__ import annotations

import hashlib
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medseg_ext.errors import DataError


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
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside a file, which replaces it at the end, so that an interruption leaves nothing half.

    Its name is random: containers that share a folder may have processes of one number. It is short, as the file's own
    may be as long as names can be. Where writing fails, it is removed.

    Args:
        path: the file; it need not exist.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name first, see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def file_sha256(path: Path) -> str:
    """Hash one file. Raises: DataError: it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from error
