"""Replace the parts of a Markdown page that stand between marker comments."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path

from medseg_ext.errors import DataError

OPENING, CLOSING = "<!-- card: {} -->", "<!-- /card -->"
MARKER = re.compile(r"^<!-- (?:card: (\w+)|(/card)) -->\n?", re.MULTILINE)


def fill_sections(page: Path, texts: Mapping[str, str], *, kept: Collection[str] = ()) -> str:
    """Give a page's text with every marked part replaced; the page itself stays as it is.

    Args:
        page: a Markdown file.
        texts: Markdown of each part by name, without blank lines around it.
        kept: parts that may be there, and stay as they are.

    Raises:
        DataError: as `check_sections`.
    """
    content = check_sections(page, texts, kept=kept)
    for name, text in texts.items():
        filled = f"{OPENING.format(name)}\n\n{text}\n\n{CLOSING}"  # without blank lines GitHub shows no table
        part = rf"^{OPENING.format(name)}\n.*?^{CLOSING}"
        content = re.sub(part, filled.replace("\\", r"\\"), content, flags=re.MULTILINE | re.DOTALL)
    return content


def check_sections(page: Path, names: Collection[str], *, kept: Collection[str] = ()) -> str:
    """Refuse a page whose marked parts are not these, each once and closed; those of `kept` may be there, too.

    Returns:
        The page's text.

    Raises:
        DataError: the page or a part is missing, a part is there twice, unclosed or unknown; names the page, the line
            and what to write.
    """
    if not page.is_file():
        raise DataError(f"{page} is missing: write it, with the parts {', '.join(names)} between marker lines")
    content = page.read_text(encoding="utf-8")
    open_name, found = "", []
    for marker in MARKER.finditer(content):
        line = f"{page}, line {len(content[: marker.start()].splitlines()) + 1}"
        name, is_closing = marker[1], bool(marker[2])
        if is_closing != bool(open_name):
            expected = f"`{CLOSING}` after `{OPENING.format(open_name)}`" if open_name else f"no `{CLOSING}`"
            raise DataError(f"{line}: expected {expected}; mend the marker lines")
        if name in found:
            raise DataError(f"{line}: `{OPENING.format(name)}` is there twice; remove one")
        if name and name not in names and name not in kept:
            raise DataError(f"{line}: nothing fills `{OPENING.format(name)}`; the parts are {', '.join(names)}")
        found += [name] if name else []
        open_name = name or ""
    if open_name:
        raise DataError(f"{page}: `{OPENING.format(open_name)}` has no end; add the line `{CLOSING}` after it")
    for name in names:
        if name not in found:
            raise DataError(
                f"{page} has no part `{name}`: add the lines `{OPENING.format(name)}` and `{CLOSING}` to it"
            )
    return content


def section(content: str, name: str) -> str:
    r"""Give what stands in a marked part of a page.

    >>> section("a\n<!-- card: b -->\nc\n<!-- /card -->\nd", "b")
    'c\n'
    """
    return content.split(f"{OPENING.format(name)}\n", 1)[1].split(CLOSING, 1)[0]


def text_outside(content: str) -> str:
    r"""Give what a person wrote: a page without its marked parts.

    >>> text_outside("a\n<!-- card: b -->\nc\n<!-- /card -->\nd")
    'a\nd'
    """
    return re.sub(r"^<!-- card: \w+ -->\n.*?^<!-- /card -->\n?", "", content, flags=re.MULTILINE | re.DOTALL)
