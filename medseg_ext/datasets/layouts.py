"""Know the layouts of raw data sets."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from medseg_ext.datasets.sources import open_source
from medseg_ext.errors import DataError


class Layout(NamedTuple):
    """How a raw data set lies in its folders; `prepare_<name>` in a module of this room prepares it.

    Attributes:
        images: name of the folders that hold images.
        masks: name of the folders that hold masks.
        what: is prepared, for people.
        source: what to give as source.
        test: what to give as test set.
        options: of the preparation, beside those that all have.
    """

    images: str
    masks: str
    what: str
    source: str
    test: str
    options: tuple[str, ...] = ()


LAYOUTS = {
    "dsb2018": Layout(
        images="images",
        masks="masks",
        what="the nuclei of the Data Science Bowl 2018",
        source="stage1_train as folder or ZIP; with --test-solution and without --test, stage1_test",
        test="stage1_test as folder or ZIP; becomes the section testing",
        options=("test_solution",),
    ),
    "segpc2021": Layout(
        images="x",
        masks="y",
        what="the plasma cells of SegPC-2021",
        source="folder or ZIP with train/x and train/y; images below validation become the section testing",
        test="a further folder or ZIP, such as the official validation set; becomes the section testing",
    ),
}


def recognise_layout(path: Path | str) -> str:
    """Tell the layout of a folder or ZIP archive by the folders that its files are in.

    Args:
        path: the folder or archive.
    Returns: a key of `LAYOUTS`.
    Raises: DataError: it has the folders of no layout, or of several.
    """
    source = open_source(path)
    folders = {PurePosixPath(name).parent.name for name in source.names}
    found = [name for name, layout in LAYOUTS.items() if layout.images in folders]
    if len(found) == 1:
        return found[0]
    what = "the folders of several layouts" if found else f"the folders of none (it begins with '{source.names[0]}')"
    known = "; ".join(f"{name}: images in {each.images}/, masks in {each.masks}/" for name, each in LAYOUTS.items())
    raise DataError(f"{source.path} has {what}: tell the layout with --layout. Known are {known}")


def prepare(layout: str, source: Path, target: Path, **options: Any) -> dict[str, Any]:
    """Prepare a raw data set of a layout, a key of `LAYOUTS`; see the function `prepare_<layout>` for the rest."""
    module = import_module(f"medseg_ext.datasets.{layout}")
    return getattr(module, f"prepare_{layout}")(source, target, **options)
