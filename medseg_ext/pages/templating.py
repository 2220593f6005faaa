"""Fill the templates of pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jinja2


def fill_template(name: str, content: Mapping[str, Any], *, filters: Mapping[str, Callable[..., Any]]) -> str:
    """Fill a template of `medseg_ext/pages/templates`; all text in it is escaped.

    Args:
        name: the template's file.
        content: its variables.
        filters: functions that it uses, by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("medseg_ext.pages"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(filters)
    return environment.get_template(name).render(content)
