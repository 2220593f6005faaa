"""Show the examples in docstrings as code. Griffe, which reads them for the site, calls it: see `mkdocs.yml`."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension, Object

DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)  # up to an empty line


class ShowDoctests(Extension):
    """Put each run of lines that begins with `>>>` into a fence; elsewhere Markdown takes it for a quotation."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Change the docstring of a function, class or module."""
        if obj.docstring and ">>> " in obj.docstring.value:
            obj.docstring.value = DOCTEST.sub(r"```pycon\n\g<0>\n```", obj.docstring.value)
