"""Tell addresses, such as s3://bucket/a.tif, from paths, and keep what is secret in them out of files and messages."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote
from urllib.request import url2pathname

PathLike = str | os.PathLike[str]

_SCHEME = r"[a-z][a-z0-9+.-]+"  # two letters at least: C: is a disk
_ADDRESS = re.compile(rf"({_SCHEME}::)*{_SCHEME}://", re.IGNORECASE)
_LOCAL = re.compile(r"(file|local)://", re.IGNORECASE)
_END_OF_LINK = rf"(?=::(?:{_SCHEME}::)*{_SCHEME}://|$)"
_HTTP_QUERY = re.compile(rf"(https?://(?:(?!{_END_OF_LINK})[^?])*)\?.*?{_END_OF_LINK}", re.IGNORECASE | re.DOTALL)
# What is before an @ is no secret everywhere: abfs://container@account, github://org:repo@branch. An @ may also be in a
# name, so that a password goes to the first one if it holds a slash, and does not begin as a port.
_WITH_USER = r"\b((?:https?|ftps?|sftp|ssh|smb|(?:web)?davs?|s?webhdfs|hdfs|gist|s3a?|root)://)"
_USER = re.compile(
    rf"{_WITH_USER}(?:(?<=http://)[^/?]*@|(?<=https://)[^/?]*@|[^/?@:]*:(?:[^/?]*@|(?!\d*(?:[/?]|$))[^@]*@))",
    re.IGNORECASE,
)
_QUERY_IN_TEXT = re.compile(r"(https?://[^\s?'\"]*)\?\S*?(?=['\"\])>,.;:]*(?:\s|$))", re.IGNORECASE)
_USER_IN_TEXT = re.compile(
    rf"{_WITH_USER}(?:(?<=http://)[^/?\s]*@|(?<=https://)[^/?\s]*@"
    r"|[^/?@:\s]*:(?:[^/?\s]*@|(?!\d*(?:[/?\s'\"\])>,.;:]|$))[^@\s]*@))",
    re.IGNORECASE,
)


class _Known(NamedTuple):
    """What stands for an address, and the whole of it."""

    shown: str
    whole: str


_known: dict[str, _Known] = {}  # by what stands for them, as `Path` spells it


def is_address(text: PathLike) -> bool:
    """Say whether a text is an address, and not a path.

    >>> [is_address(each) for each in ("s3://bucket/a.tif", "simplecache::s3://bucket/a.tif", "C:/a.tif", "a.tif")]
    [True, True, False, False]
    """
    return _ADDRESS.match(os.fspath(text)) is not None


def is_spelt_as_path(text: PathLike) -> bool:
    """Say whether a text is an address of which `Path` has made a relative path, as where only paths are taken.

    >>> [is_spelt_as_path(each) for each in (Path("s3://bucket/run"), "s3://bucket/run", "C:/run", "runs/s3")]
    [True, True, False, False]
    """
    return re.match(rf"{_SCHEME}:/", os.fspath(text), re.IGNORECASE) is not None


def place(given: PathLike) -> Path | str:
    """Take what a person gives: the absolute path of a local file or folder; else what stands for an address.

    That is the address without user, password, and what follows a question mark (of HTTP), all of which may be secret.
    Only this process remembers them: `address_of` gives the whole.

    Of file:// percent signs are read as in every URL (RFC 8089), so that a % in a name is written %25. A file has no
    query and no fragment: # and ? are parts of its name, written as they are, or %23 and %3F. What does not begin with
    a slash is a path from the working folder.

    >>> str(place("file:///data/my%20plate/a#1?.tif")), place("https://ada:pw@example.org/my%20plate#1.png?signature=a1b2")
    ('/data/my plate/a#1?.tif', 'https://example.org/my%20plate%231.png')
    """
    text = os.fspath(given)
    if _LOCAL.match(text):
        return _local_path(text.partition("://")[2])
    return _remembered(text) if is_address(text) else Path(text).absolute()


def address_of(path: PathLike) -> str | None:
    """Give the whole address that a text stands for, also one that `Path` has spelt anew; None of a local path.

    >>> address_of(Path("s3://bucket//a.tif")), address_of(place("s3://bucket//a.tif"))
    (None, 's3://bucket//a.tif')
    >>> address_of(Path("s3://bucket//a.tif"))
    's3://bucket//a.tif'
    """
    known = _known_as(path)
    return known.whole if known else None


def shown(path: PathLike) -> str:
    """Give what stands for an address, however it is spelt, or a local path as it is."""
    known = _known_as(path)
    return known.shown if known else os.fspath(path)


def secrets_of(places: Iterable[str]) -> dict[str, str]:
    """Give the whole of those addresses that have secrets, by what stands for them: for `know_secrets`."""
    known = (_known_as(each) for each in places)
    return {each.shown: each.whole for each in known if each and each.shown != each.whole}


def know_secrets(secrets: Mapping[str, str]) -> None:
    """Remember what `secrets_of` has given in another process."""
    _known.update({_key(text): _Known(text, whole) for text, whole in secrets.items()})


def without_secrets(text: str) -> str:
    """Take users, passwords and queries out of the addresses in a text, whatever it is.

    >>> without_secrets("GET 'https://host/a.png?X-Signature=a1' failed; sftp://ada:p@w@host/b")
    "GET 'https://host/a.png' failed; sftp://host/b"
    """
    for known in list(_known.values()):
        if known.whole != known.shown:
            text = text.replace(known.whole, known.shown)
    return _QUERY_IN_TEXT.sub(r"\1", _USER_IN_TEXT.sub(r"\1", text))


def trace_without_secrets(error: BaseException) -> str:
    """Give an error's traceback for a log: clients name the whole address in what they raise."""
    return without_secrets("".join(traceback.format_exception(error))).rstrip()


def words_without_secrets(words: Iterable[str]) -> list[str]:
    """Do the same for the words of a command line, in which an address may hold blanks."""
    return [without_secrets(shown(word)) for word in words]


def without_query(address: str) -> str:
    """Take away what follows the question mark of an address of HTTP; elsewhere it is a part of the name.

    >>> without_query("zip://a?.png::https://host/b.zip?parts=1,2&signature=c")
    'zip://a?.png::https://host/b.zip'
    """
    return _HTTP_QUERY.sub(r"\1", address)


def naming_path(path: PathLike) -> PurePath:
    """Give a path whose parts are the names in an address, or a local path as it is.

    >>> naming_path("https://example.org/plates/well%20A1.png").parts[-2:]
    ('plates', 'well A1.png')
    """
    text = shown(path)
    if not is_address(text):
        return Path(text)
    own = _own_part(text)
    inner = own.partition("://")[2]
    return PurePosixPath(unquote(inner) if is_http(own) else inner)


def inside(address: str, name: str) -> str:
    """Give what stands for the address of what is in the folder at an address.

    >>> inside("s3://bucket/run/", "a.csv"), inside("zip://images::s3://bucket/a.zip", "a.png")
    ('s3://bucket/run/a.csv', 'zip://images/a.png::s3://bucket/a.zip')
    >>> inside("zip://::s3://bucket/a.zip", "a.png")
    'zip://a.png::s3://bucket/a.zip'
    """
    whole = without_query(address_of(address) or address)
    own = _own_part(whole)
    folder = f"{own.rstrip('/')}/" if own.partition("://")[2].strip("/") else own  # else it is a root
    return _remembered(whole.replace(own, f"{folder}{name}", 1))


def is_http(address: str) -> bool:
    """Say whether an address is one of HTTP: names are written with percent signs there, and nothing is written."""
    return address.lower().startswith(("http://", "https://"))


def _local_path(inner: str) -> Path:
    host, slash, rest = inner.partition("/")
    return Path(url2pathname(f"/{rest}" if slash and host.lower() == "localhost" else inner)).absolute()


def _known_as(path: PathLike) -> _Known | None:
    text = os.fspath(path)
    if is_address(text) and _key(text) not in _known:
        text = _remembered(text)
    return _known.get(_key(text)) if ":" in text else None


def _remembered(text: str) -> str:
    if is_http(text):
        text = text.replace("#", "%23").replace(" ", "%20")  # a fragment is nothing to a server
    clean = without_query(_USER.sub(r"\1", text))
    if text != clean or _key(clean) not in _known:
        _known[_key(clean)] = _Known(clean, text)
    return clean


def _own_part(address: str) -> str:
    """Give the link of a chain, such as zip://a.png::s3://bucket/a.zip, that has the name."""
    return next(part for part in address.split("::") if "://" in part)


def _key(text: str) -> str:
    return Path(text).as_posix()
