"""What every room does with files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from medseg_ext.errors import DataError


def as_text(name: str) -> str:
    r"""Replace what is no text: names of files may hold any bytes, which a log or a table cannot.

    >>> as_text("plate_\udcfc.png")
    'plate_\ufffd.png'
    """
    return name.encode(errors="surrogateescape").decode(errors="replace")


def write_atomically(path: Path, content: bytes) -> None:
    """Write under a temporary name first, so that an interruption leaves no half-written file."""
    temporary = path.with_name(f".{os.getpid()}.part")  # short: the path itself may be as long as names can be
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def file_sha256(path: Path) -> str:
    """Hash one file. Raises: DataError: it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}): check the path") from error
