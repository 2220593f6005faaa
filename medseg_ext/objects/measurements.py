"""Measure objects."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from medseg_ext.images.channels import Choice, is_list, name_of
from medseg_ext.tables import Table

RATIO, TOUCHES = "nucleus_cytoplasm_ratio", "touches_border"
COLOURS = ("mean_red", "mean_green", "mean_blue")
PLACES = ("centroid_row", "centroid_column", "bbox_top", "bbox_left", "bbox_bottom", "bbox_right")


def measure_objects(
    instances: np.ndarray,
    classes: np.ndarray,
    scores: np.ndarray,
    image: np.ndarray,
    *,
    class_names: Sequence[str],
    object_name: str,
    origin: tuple[int, int] = (0, 0),
    image_size: tuple[int, int] | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    intensities: Sequence[str] = COLOURS,
) -> Table:
    """Measure every object of an image.

    Args:
        instances: label map, integers (H, W); 0 is background.
        classes: class map, integers (H, W).
        scores: floats (N,); entry i belongs to label i + 1.
        image: as it came, floats (H, W, C) in [0, 1].
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        origin: row and column of the first pixel, where these are maps of a part of the image.
        image_size: (H, W) of the image, likewise.
        pixel_size_um: (height, width) of a pixel, None where it is unknown.
        intensities: names of the columns of the C channels' means, see `intensity_names`.

    Returns:
        One row an object, in order of its label: `id` (the label), `class` (the object's name), `score`, `area_px`,
        and `area_um2` if the size of a pixel is known; `centroid_row` and `centroid_column`, where the centre of the
        image's first pixel is (0, 0); `bbox_top`, `bbox_left`, `bbox_bottom` and `bbox_right`, the last two just
        outside; the means of the channels in [0, 1]; `touches_border`, 1 of an object that the border of
        the image may cut, else 0.
        With more than one foreground class also `<class>_area_px` of each; with nucleus and cytoplasm also
        `nucleus_cytoplasm_ratio` of their areas, NaN where there is no cytoplasm, and where the border may cut it.

    Raises:
        ValueError: the maps and the image differ in size, or a label has no score.
    """
    if not instances.shape == classes.shape == image.shape[:2]:
        raise ValueError(
            f"expected maps of the image's size {image.shape[:2]}, "
            f"got instances {instances.shape} and classes {classes.shape}"
        )
    if instances.max() > len(scores):
        raise ValueError(f"expected a score for each of {instances.max()} labels, got {len(scores)} scores")
    ids, areas_px, measured = _measure_pixels(instances, image, intensities)
    for name, offset in zip(PLACES, itertools.cycle(origin), strict=False):
        measured[name] = measured[name] + offset
    table = {
        "id": ids,
        "class": np.full(len(ids), object_name),
        "score": np.asarray(scores, dtype=float)[ids - 1],
        "area_px": areas_px,
        **({} if pixel_size_um is None else {"area_um2": areas_px * (pixel_size_um[0] * pixel_size_um[1])}),
        **measured,
    }
    height, width = image_size or instances.shape
    ends = (table["bbox_bottom"] >= height) | (table["bbox_right"] >= width)
    table[TOUCHES] = ((table["bbox_top"] <= 0) | (table["bbox_left"] <= 0) | ends).astype(int)
    if len(class_names) > 2:
        table |= _areas_of_classes(instances, classes, ids, class_names)
    return _with_ratio(table)


def _measure_pixels(
    instances: np.ndarray, image: np.ndarray, intensities: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, Table]:
    """Give the labels, the areas, and the other columns that an object's pixels decide, as scikit-image measures them.

    `regionprops_table` gives the same numbers, but looks at each object by itself.
    """
    boxes = ndimage.find_objects(instances)
    ids = np.array([number for number, box in enumerate(boxes, start=1) if box is not None], dtype=int)
    corners = np.array([[side.start for side in box] + [side.stop for side in box] for box in boxes if box is not None])
    rows, columns = instances.nonzero()
    labels = instances[rows, columns]
    areas_px = np.bincount(labels, minlength=len(boxes) + 1)[ids]
    measured = {
        name: np.bincount(labels, weights=places, minlength=len(boxes) + 1)[ids] / areas_px
        for name, places in (("centroid_row", rows), ("centroid_column", columns))
    }
    measured |= dict(zip(PLACES[2:], corners.reshape(-1, 4).astype(int).T, strict=True))
    for name, values in zip(intensities, np.moveaxis(image[rows, columns], -1, 0), strict=True):
        sums = np.zeros(len(boxes) + 1, dtype=values.dtype)
        np.add.at(sums, labels, np.ascontiguousarray(values))
        measured[name] = (sums[ids] / areas_px.astype(values.dtype)).astype(float)
    return ids, areas_px, measured


def intensity_names(channel: Choice) -> tuple[str, ...]:
    """Name the columns of the mean intensities of an image's channels.

    Args:
        channel: as which it was read, see `medseg_ext.images.read_rgb`.

    >>> intensity_names(None), intensity_names(["DAPI", 2])
    (('mean_red', 'mean_green', 'mean_blue'), ('mean_DAPI', 'mean_channel_2'))
    """
    if not is_list(channel):
        return COLOURS
    return tuple(f"mean_{name_of(each)}" for each in channel)


def join_measurements(parts: Sequence[Table]) -> Table:
    """Measure an object whose parts are measured.

    Args:
        parts: of one row each, as of `measure_objects`; of one object, whose parts do not overlap.

    Returns:
        The row of the whole object.
    """
    rows = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    joined = {}
    for name, values in rows.items():
        if name.endswith(("area_px", "area_um2")):
            joined[name] = values.sum(keepdims=True)
        elif name.startswith(("centroid_", "mean_")):
            joined[name] = np.average(values, weights=rows["area_px"], keepdims=True)
        elif name in ("bbox_top", "bbox_left"):
            joined[name] = values.min(keepdims=True)
        elif name in ("bbox_bottom", "bbox_right", TOUCHES):
            joined[name] = values.max(keepdims=True)
        else:
            joined[name] = values[:1]
    return _with_ratio(joined)


def _areas_of_classes(instances: np.ndarray, classes: np.ndarray, ids: np.ndarray, class_names: Sequence[str]) -> Table:
    return {
        f"{name}_area_px": np.bincount(instances[classes == number], minlength=instances.max() + 1)[ids]
        for number, name in enumerate(class_names)
        if number > 0
    }


def _with_ratio(table: Table) -> Table:
    """Add the ratio of nucleus and cytoplasm where both are known as wholes."""
    if {"nucleus_area_px", "cytoplasm_area_px"} <= table.keys():
        cytoplasm = table["cytoplasm_area_px"]
        is_defined = (cytoplasm > 0) & (table[TOUCHES] == 0)
        table[RATIO] = table["nucleus_area_px"] / np.where(is_defined, cytoplasm, np.nan)
    return table


def summarise_objects(table: Table, size: tuple[int, int]) -> dict[str, Any]:
    """Summarise the measurements of one image.

    Args:
        table: as of `measure_objects`.
        size: (H, W) of the image.

    Returns:
        `height` and `width` in pixels, number of `objects`, `foreground_fraction` in [0, 1], `mean_area_px` (NaN
        without objects), and `mean_area_um2` if the size of a pixel is known; where objects have the ratio also
        `median_nucleus_cytoplasm_ratio`, over those in which it is defined (NaN without any).
    """
    areas = table["area_px"]
    summary = {
        "height": size[0],
        "width": size[1],
        "objects": len(areas),
        "foreground_fraction": float(areas.sum() / (size[0] * size[1])),
        "mean_area_px": float(areas.mean()) if len(areas) else float("nan"),
    }
    if "area_um2" in table:
        summary["mean_area_um2"] = float(table["area_um2"].mean()) if len(areas) else float("nan")
    if RATIO in table:
        ratios = table[RATIO][~np.isnan(table[RATIO])]
        summary[f"median_{RATIO}"] = float(np.median(ratios)) if len(ratios) else float("nan")
    return summary
