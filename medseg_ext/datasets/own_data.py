"""Prepare people's own images and labels, of any format that is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from medseg_ext.datasets import coco, imagej_rois, label_map_files, ome_zarr, qupath_geojson
from medseg_ext.datasets.annotations import Annotation
from medseg_ext.datasets.data_set_folder import CHANNEL, NOT_STATED
from medseg_ext.datasets.own_objects import OwnObjects
from medseg_ext.datasets.pairing import Pair, Pairing, sections_of, stem_of
from medseg_ext.datasets.preparation import DataSetFacts, SplitOptions, write_data_set
from medseg_ext.datasets.raw_images import RawImage, RawPart, read_image_file
from medseg_ext.datasets.roles import role_of
from medseg_ext.datasets.sources import Source, open_source
from medseg_ext.errors import DataError
from medseg_ext.files import file_key
from medseg_ext.images.channels import Choice, is_list

CLASS_NAMES = {"nucleus": ("background", "nucleus"), "cell": ("background", "cytoplasm", "nucleus")}


class Found(NamedTuple):
    """The images of a source.

    Attributes:
        images: each with its annotations, each with the part that it shows, "cell", "nucleus" or "" where its objects'
            classes tell.
        skipped: names of what is left out, under the reason.
        parts: which of "cell" and "nucleus" there are.
        classes: that objects have, besides.
    """

    images: Sequence[tuple[RawImage, tuple[tuple[str, Annotation], ...]]]
    skipped: dict[str, list[str]]
    parts: set[str]
    classes: set[str]


@dataclass(frozen=True)
class OwnOptions:
    """What a person says of own images and labels.

    Attributes:
        objects: "nucleus" or "cell"; None takes cells where cells and nuclei are labelled, and else nuclei.
        binary: "components", if each piece of a mask is to be an object; None refuses such masks.
        leave_out: classes whose objects are to be left out.
        name: what to call the data set; None calls it as its source.
        licence: of the images and labels.
        origin: where they are from.
        channel: which channels of the images are taken, see `medseg_ext.images.read_rgb`.
    """

    objects: str | None = None
    binary: str | None = None
    leave_out: Collection[str] = ()
    name: str | None = None
    licence: str | None = None
    origin: str | None = None
    channel: Choice = None


def prepare_own_data(
    layout: str,
    source: Path | str,
    target: Path | str,
    *,
    test: Path | str | None = None,
    own: OwnOptions = OwnOptions(),
    **options: Unpack[SplitOptions],
) -> dict[str, Any]:
    """Write the data set folder of own images and labels.

    Args:
        layout: how they lie there, a key of `FINDERS`.
        source: folder or ZIP. Folders `train`, `val` and `test` in it are the sections; without `val`, images of
            `train` are shared out to training and validation.
        target: folder to write.
        test: a further source in the same layout; all its images become the section testing.
        own: what a person says of them.
        options: see `SplitOptions`.
    Returns: the content of dataset.json.
    Raises: DataError: anything unusable, naming the file.
    """
    sources = [open_source(path) for path in (source, test) if path is not None]
    found = [FINDERS[layout](each, own) for each in sources]
    for each, opened in zip(found, sources, strict=True):
        _refuse_nothing(each, opened, layout)
    parts = set().union(*(each.parts for each in found))
    classes = set().union(*(each.classes for each in found))
    parts |= {part for name in classes - set(own.leave_out) if (part := role_of(name))}
    if unknown := set(own.leave_out) - classes:
        known = ", ".join(sorted(filter(None, classes))) or "none"
        raise DataError(f"{source} has no class '{min(unknown)}' to leave out: its classes are {known}")
    tells_parts = {"cell", "nucleus"} <= parts
    objects = own.objects or ("cell" if tells_parts else "nucleus")
    if objects == "cell" and not parts:
        raise DataError(
            f"{source} does not tell cells from nuclei, as --objects cell needs: name files so (_cell, _nucleus)"
            ", or take --objects nucleus, which are objects of one class"
        )
    facts = DataSetFacts(
        name=own.name or Path(source).absolute().stem,
        class_names=CLASS_NAMES[objects],
        object_name=objects,
        licence=own.licence or NOT_STATED,
        origin=own.origin or NOT_STATED,
    )
    raw_parts = []
    for number, (each, opened) in enumerate(zip(found, sources, strict=True)):
        section_of = sections_of({image.section for image, _ in each.images})
        images = [
            replace(
                image,
                annotation=OwnObjects(layers, objects, tells_parts, frozenset(own.leave_out)),
                section="testing" if number else section_of[image.section],
            )
            for image, layers in each.images
        ]
        raw_parts.append(RawPart(opened, images, each.skipped))
    told: dict[str, Any] = {
        "layout": layout,
        "objects": objects,
        "binary": own.binary,
        "leave_out": sorted(own.leave_out),
    }
    if own.channel is not None:
        told[CHANNEL] = list(own.channel) if is_list(own.channel) else own.channel
    return write_data_set(facts, raw_parts, target, recipe=told, **options)


def _from_pairs(
    pairing: Pairing, own: OwnOptions, annotation: Callable[[str], Annotation], classes: Collection[str] = ()
) -> Found:
    images = []
    for pair in pairing.pairs:
        layers = tuple((role, annotation(file)) for role, file in sorted(pair.labels.items()))
        images.append((_raw_image(pair, layers, own), layers))
    parts = {role for pair in pairing.pairs for role in pair.labels if role}
    return Found(images, pairing.skipped, parts, set(classes))


def _raw_image(
    pair: Pair,
    layers: Sequence[tuple[str, Annotation]],
    own: OwnOptions,
    *,
    read: Callable[..., tuple[NDArray[np.uint8], list[str]]] = read_image_file,
    parts: tuple[str, ...] = (),
) -> RawImage:
    reading = partial(read, channel=own.channel)
    return RawImage(pair.id, pair.image, layers[0][1], pair.section, read=reading, parts=parts)


def _find_label_maps(source: Source, own: OwnOptions) -> Found:
    pairing = label_map_files.find_images(source)
    image_of = {file: pair.image for pair in pairing.pairs for file in pair.labels.values()}
    return _from_pairs(
        pairing, own, lambda file: label_map_files.LabelMapFile(file, own.binary is not None, image_of[file])
    )


def _find_geojson(source: Source, own: OwnOptions) -> Found:
    pairing = qupath_geojson.find_images(source)
    files = [file for pair in pairing.pairs for file in pair.labels.values()]
    classes, has_cells = qupath_geojson.classes_in(source, files)
    found = _from_pairs(pairing, own, qupath_geojson.GeoJsonFile, classes)
    return found._replace(parts=found.parts | ({"cell", "nucleus"} if has_cells else set()))


def _find_coco(source: Source, own: OwnOptions) -> Found:
    images, skipped, classes = coco.find_images(source)
    ids = _ids([pair.image for pair, _ in images])
    found = []
    for pair, objects in images:
        layers = (("", objects),)
        found.append((_raw_image(replace(pair, id=ids[pair.image]), layers, own), layers))
    return Found(found, skipped, set(), classes)


def _find_rois(source: Source, own: OwnOptions) -> Found:
    return _from_pairs(imagej_rois.find_images(source), own, imagej_rois.RoiFile)


def _find_zarr(source: Source, own: OwnOptions) -> Found:
    images, skipped = ome_zarr.find_images(source)
    found = []
    for pair, files in images:
        layers = tuple(
            (role, ome_zarr.OmeZarrLabels(group, own.binary is not None)) for role, group in sorted(pair.labels.items())
        )
        found.append((_raw_image(pair, layers, own, read=ome_zarr.read_zarr_image, parts=files), layers))
    parts = {role for pair, _ in images for role in pair.labels if role}
    return Found(found, skipped, parts, set())


FINDERS: dict[str, Callable[[Source, OwnOptions], Found]] = {
    "label_maps": _find_label_maps,
    "qupath": _find_geojson,
    "coco": _find_coco,
    "imagej_rois": _find_rois,
    "ome_zarr": _find_zarr,
}


def _ids(images: Sequence[str]) -> dict[str, str]:
    """Give images their stem as id, with the folders before it where two are alike."""
    alike = Counter(file_key(stem_of(name)) for name in images)
    return {
        name: stem_of(name) if alike[file_key(stem_of(name))] == 1 else stem_of(name.replace("/", "_"))
        for name in images
    }


def _refuse_nothing(found: Found, source: Source, layout: str) -> None:
    if not found.images:
        left = "; ".join(f"{reason}: {names[0]}" for reason, names in found.skipped.items())
        raise DataError(
            f"{source.path} has no image with labels in the layout {layout}{f' ({left})' if left else ''}: give images"
            " and labels names that fit, as the table in docs/file_formats.md shows"
        )
