"""Know the layouts of raw data sets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from medseg_ext.datasets.data_set_folder import NOT_STATED
from medseg_ext.datasets.sources import Source, open_source
from medseg_ext.errors import DataError


class Layout(NamedTuple):
    """How a raw data set lies in its folders.

    Attributes:
        what: is prepared, for people.
        lies: how, for people.
        source: what to give as source.
        test: what to give as test set.
        options: of the preparation, beside those that all have.
        official: matches a folder of the published data set; None for people's own data.
    """

    what: str
    lies: str
    source: str = "folder or ZIP"
    test: str = "a further one in the same layout; becomes the section testing"
    options: tuple[str, ...] = ()
    official: str | None = None


OWN_OPTIONS = ("objects", "binary", "leave_out", "channel")
LAYOUTS = {
    "dsb2018": Layout(
        what="the nuclei of the Data Science Bowl 2018",
        lies="images in images/, masks in masks/, one mask a nucleus: <id>/images/<id>.png, <id>/masks/<any>.png",
        source="stage1_train as folder or ZIP; with --test-solution and without --test, stage1_test",
        test="stage1_test as folder or ZIP; becomes the section testing",
        options=("test_solution",),
        official=r"stage1_(train|test)",
    ),
    "segpc2021": Layout(
        what="the plasma cells of SegPC-2021",
        lies="images in x/, masks in y/, one mask a cell: x/<id>.bmp, y/<id>_<n>.bmp",
        source="folder or ZIP with train/x and train/y; images below validation become the section testing",
        test="a further folder or ZIP, such as the official validation set; becomes the section testing",
        official=r"segpc.*",
    ),
    "label_maps": Layout(
        what="own images with label maps",
        lies="a.tif with a_mask.tif, or images/a.tif with labels/a.tif (TIFF, PNG, NPY)",
        options=OWN_OPTIONS,
    ),
    "qupath": Layout(
        what="own images with GeoJSON of QuPath", lies="a.tif with a.geojson, or in folders", options=OWN_OPTIONS
    ),
    "coco": Layout(
        what="own images with COCO's JSON of instances",
        lies="a JSON file that names the images, and these beside it or in folders",
        options=OWN_OPTIONS,
    ),
    "imagej_rois": Layout(
        what="own images with ROIs of ImageJ",
        lies="a.tif with a.zip, or RoiSet.zip with one image",
        options=OWN_OPTIONS,
    ),
    "ome_zarr": Layout(what="own OME-Zarr with labels", lies="a.zarr with labels/<name> inside", options=OWN_OPTIONS),
}


def recognise_layout(path: Path | str) -> str:
    """Tell the layout of a folder or ZIP archive by its folders, the names of its files and what JSON files begin with.

    Args:
        path: the folder or archive.
    Returns: a key of `LAYOUTS`.
    Raises: DataError: it has none of the layouts, or several; or it is a prepared data set.
    """
    source = open_source(path)
    if "dataset.json" in source.names and any(name.startswith("instances/") for name in source.names):
        raise DataError(f"{source.path} is a prepared data set: train and evaluate on it as it is")
    found = [name for name, has in RECOGNISERS.items() if has(source)]
    if not found:  # whose names tell less
        found = ["label_maps"] if _has_label_maps(source) else ["dsb2018"] if _has_folders_of_masks(source) else []
    if len(found) == 1:
        return found[0]
    what = "files of several layouts" if found else f"files of no layout (it begins with '{source.names[0]}')"
    known = "; ".join(f"{name}: {each.lies}" for name, each in LAYOUTS.items() if not found or name in found)
    more = "" if found else ". Give images and labels such names, or"
    raise DataError(f"{source.path} has {what}{more or ':'} tell the layout with --layout. Known are {known}")


def prepare(
    layout: str,
    source: Path,
    target: Path,
    *,
    own: Mapping[str, Any] | None = None,
    is_official: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Prepare a raw data set.

    Args:
        layout: a key of `LAYOUTS`.
        source: folder or ZIP.
        target: folder to write.
        own: name, licence and origin of people's own data, and the options that such data have, see
            `medseg_ext.datasets.own_data.OwnOptions`.
        is_official: whether it is the published data set; else it is where a folder is called as that.
        options: see the function `prepare_<layout>`, or `prepare_own_data`.
    """
    said = {key: value for key, value in (own or {}).items() if value}
    official = LAYOUTS[layout].official
    if official is None:
        from medseg_ext.datasets.own_data import OwnOptions, prepare_own_data

        return prepare_own_data(layout, source, target, own=OwnOptions(**said), **options)
    module = import_module(f"medseg_ext.datasets.{layout}")
    if said or not (is_official or _is_published(open_source(source), official)):
        facts = replace(
            getattr(module, layout.upper()),
            name=said.get("name") or source.absolute().stem,
            licence=said.get("licence") or NOT_STATED,
            origin=said.get("origin") or NOT_STATED,
        )
        options["facts"] = facts
    return getattr(module, f"prepare_{layout}")(source, target, **options)


def _is_published(source: Source, official: str) -> bool:
    folders = {part for name in source.names for part in source.parts(name)[:-1]}
    return any(re.fullmatch(official, folder, re.IGNORECASE) for folder in folders)


def _has_masks_by_image(source: Source) -> bool:
    """Say whether the folder of an image is called as it is, as DSB2018's are."""
    paths = [PurePosixPath(name) for name in source.names]
    images = [path for path in paths if path.parent.name == "images"]
    own = [path for path in images if len(source.parts(path.as_posix())) > 3 and path.parent.parent.name == path.stem]
    return bool(images) and 2 * len(own) >= len(images)


def _has_folders_of_masks(source: Source) -> bool:
    folders = {PurePosixPath(name).parent for name in source.names}
    return any(each.name == "images" and each.parent.name and each.with_name("masks") in folders for each in folders)


def _has_single_masks_of_cells(source: Source) -> bool:
    return any(PurePosixPath(name).parent.name == "x" for name in source.names)


def _has_geojson(source: Source) -> bool:
    from medseg_ext.datasets.qupath_geojson import is_geojson

    return any(is_geojson(source, name) for name in source.names)


def _has_coco(source: Source) -> bool:
    from medseg_ext.datasets.coco import is_coco

    return any(is_coco(source, name) for name in source.names)


def _has_rois(source: Source) -> bool:
    from medseg_ext.datasets.imagej_rois import find_images, is_roi_name

    return any(map(is_roi_name, source.names)) and bool(find_images(source).pairs)


def _has_zarr(source: Source) -> bool:
    from medseg_ext.datasets.ome_zarr import has_zarr

    return has_zarr(source)


def _has_label_maps(source: Source) -> bool:
    from medseg_ext.datasets.label_map_files import find_images

    return bool(find_images(source).pairs)


RECOGNISERS: dict[str, Callable[[Source], bool]] = {
    "dsb2018": _has_masks_by_image,
    "segpc2021": _has_single_masks_of_cells,
    "qupath": _has_geojson,
    "coco": _has_coco,
    "imagej_rois": _has_rois,
    "ome_zarr": _has_zarr,
}
"""Of layouts that nothing but them has; label maps are what is left."""
