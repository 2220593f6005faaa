"""Tell by their names which labels are cells and which are nuclei."""

from __future__ import annotations

import re

NUCLEUS = re.compile(r"nucle(us|i|ar)\b|\bnuc\b", re.IGNORECASE)
CELL = re.compile(r"\bcells?\b|cytoplasms?\b|\bcyto\b|cell ?bod(y|ies)\b", re.IGNORECASE)


def role_of(name: str) -> str:
    """Say which part of a cell a class, a folder or the ending of a file is called after.

    Returns: "nucleus"; "cell", of which the nucleus is a part; or "" for other names.

    >>> [role_of(name) for name in ("Nuclei", "cell_body", "Plasma cells", "Tumor", "nucleus of a cell")]
    ['nucleus', 'cell', 'cell', '', 'nucleus']
    """
    words = re.sub(r"[_.:/-]+", " ", name)
    return "nucleus" if NUCLEUS.search(words) else "cell" if CELL.search(words) else ""
