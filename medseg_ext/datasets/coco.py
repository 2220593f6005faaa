"""Read objects from COCO's JSON of instances."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medseg_ext.datasets.annotations import Remarks, other_size
from medseg_ext.datasets.json_files import beginning, is_json_name, read_json
from medseg_ext.datasets.label_maps import ObjectMask
from medseg_ext.datasets.pairing import SECTION_OF_FOLDER, WITHOUT_LABELS, Pair, section_of, stem_of
from medseg_ext.datasets.polygons import outlined_object
from medseg_ext.datasets.raw_images import is_image_name
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError

CROWD = "crowd (iscrowd), which is no single object"
NO_MASK = "annotation of a box alone, without an outline or a mask"
OTHER_AREA = "object of another area than its file says"
MISSING = "image that the COCO file names, and that is not there"
LARGEST_DIFFERENCE = 0.25  # of the area that is drawn from the one that the file gives


@dataclass(frozen=True)
class CocoImage:
    """Objects as the annotations of one image in a COCO file.

    Attributes:
        file: the COCO file in the source.
        annotations: those of the image.
        class_names: name of each category by its id.
        size: rows and columns that the file gives, px; None where it does not.
    """

    file: str
    annotations: tuple[Mapping[str, Any], ...]
    class_names: Mapping[Any, str]
    size: tuple[int, int] | None

    @property
    def files(self) -> tuple[str, ...]:
        """The COCO file."""
        return (self.file,)

    def masks(self, source: Source, shape: tuple[int, int], remarks: Remarks) -> Iterator[ObjectMask]:
        """Draw the objects, without crowds. Raises: DataError: one is broken, or the image has another size."""
        if self.size is not None and self.size != shape:
            raise DataError(other_size(f"{source.where(self.file)}: what it holds of this image", self.size, shape))
        for annotation in self.annotations:
            name = f"{self.file}, annotation {annotation.get('id')}"
            label = self.class_names.get(annotation.get("category_id"), "")
            segmentation = annotation.get("segmentation")
            if annotation.get("iscrowd"):
                remarks.skipped[CROWD].append(name)
            elif not segmentation:
                remarks.skipped[NO_MASK].append(name)
            else:
                try:
                    mask = _draw(segmentation, shape, name, label, remarks)
                except (TypeError, KeyError, ValueError, IndexError) as error:
                    raise DataError(f"{source.path}/{name}: {error}: mend it, or export it again") from error
                if mask is not None:
                    _compare_area(annotation.get("area"), mask, remarks)
                    yield mask


def is_coco(source: Source, name: str) -> bool:
    """Say whether a file has COCO's JSON in it, by its beginning."""
    if not is_json_name(name):
        return False
    text = beginning(source, name)
    return b'"Feature' not in text and any(word in text for word in (b'"annotations"', b'"categories"', b'"images"'))


def find_images(source: Source) -> tuple[list[tuple[Pair, CocoImage]], dict[str, list[str]], set[str]]:
    """List the images of all COCO files of a source.

    Returns: each image with its objects; names of what is left out, under the reason; the categories.
    Raises: DataError: a file is broken; an id stands for two images; an annotation is of none; no image is there.
    """
    pictures = [name for name in source.names if is_image_name(name)]
    places = _Places(pictures)
    found: list[tuple[Pair, CocoImage]] = []
    missing: list[str] = []
    categories: set[str] = set()
    for file in (name for name in source.names if is_coco(source, name)):
        images, annotations_of, class_names = _read(source, file)
        for number, image in images.items():
            annotations = annotations_of[number]
            categories |= {class_names.get(each.get("category_id"), "") for each in annotations}
            picture = places.find(image["file_name"], PurePosixPath(file).parent)
            if picture is None:
                missing.append(str(image["file_name"]))
                continue
            size = (image["height"], image["width"]) if "height" in image and "width" in image else None
            found.append(
                (
                    Pair(picture, "", section=section_of(picture) or _section_of_file(file)),
                    CocoImage(file, tuple(annotations), class_names, size),
                )
            )
    if missing and not found:
        raise DataError(
            f"{source.path} has none of the images that its COCO file names, such as {missing[0]}: add them"
        )
    taken: dict[str, str] = {}
    for pair, objects in found:
        if pair.image in taken:
            where = f"{source.where(taken[pair.image])} and {source.where(objects.file)}"
            raise DataError(f"{where} have the image {pair.image} twice: keep one of its entries")
        taken[pair.image] = objects.file
    left = {WITHOUT_LABELS: [name for name in pictures if name not in taken], MISSING: missing}
    return found, {reason: names for reason, names in left.items() if names}, categories


class _Places:
    """Where images are that a COCO file calls by a path of another machine."""

    def __init__(self, pictures: Sequence[str]) -> None:
        self._all = set(pictures)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for picture in pictures:
            self._by_name[PurePosixPath(picture).name].append(picture)

    def find(self, file_name: str, folder: PurePosixPath) -> str | None:
        """Find an image beside the COCO file, in the source, or the only one of that name."""
        parts = PurePosixPath(str(file_name).replace("\\", "/")).parts
        for first in range(len(parts)):
            for near in (folder, PurePosixPath()):
                if (name := (near / PurePosixPath(*parts[first:])).as_posix()) in self._all:
                    return name
        named = self._by_name.get(parts[-1], []) if parts else []
        ends = [name for name in named if PurePosixPath(name).parts[-len(parts) :] == parts] or named
        return ends[0] if len(ends) == 1 else None


def _read(
    source: Source, file: str
) -> tuple[dict[Any, Mapping[str, Any]], dict[Any, list[Mapping[str, Any]]], dict[Any, str]]:
    """Read a COCO file. Returns: the images by id, the annotations of each, the names of categories by id."""
    content, where = read_json(source, file), source.where(file)
    lists = {key: content.get(key) if isinstance(content, Mapping) else None for key in ("images", "annotations")}
    for key, items in lists.items():
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            raise DataError(f"{where} has no list '{key}', as COCO's JSON of instances has: export it again")
    images: dict[Any, Mapping[str, Any]] = {}
    for image in lists["images"] or ():
        if not {"id", "file_name"} <= image.keys():
            raise DataError(f"{where} has an image without id or file_name: export it again")
        if image["id"] in images:
            raise DataError(f"{where} has the id {image['id']} twice among its images: give each its own")
        images[image["id"]] = image
    annotations_of: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    seen: set[Any] = set()
    for annotation in lists["annotations"] or ():
        number = annotation.get("id")
        if annotation.get("image_id") not in images:
            raise DataError(
                f"{where}: annotation {number} is of the image {annotation.get('image_id')}, which it lacks"
            )
        if number is not None and number in seen:
            raise DataError(f"{where} has the id {number} twice among its annotations: give each its own")
        seen.add(number)
        annotations_of[annotation["image_id"]].append(annotation)
    categories = content.get("categories") or []
    return images, annotations_of, {each.get("id"): str(each.get("name", "")) for each in categories}


def _section_of_file(file: str) -> str | None:
    """Tell a section by names such as `instances_val2017.json`."""
    words = "".join(letter if letter.isalpha() else " " for letter in stem_of(file).lower()).split()
    return section_of(file) or next((SECTION_OF_FOLDER[word] for word in words if word in SECTION_OF_FOLDER), None)


def _draw(segmentation: Any, shape: tuple[int, int], name: str, label: str, remarks: Remarks) -> ObjectMask | None:
    if isinstance(segmentation, Mapping):
        return ObjectMask(decode_coco_run_length(segmentation, shape).astype(np.uint8), name, label=label)
    if segmentation and isinstance(segmentation[0], (int, float)):
        segmentation = [segmentation]
    rings = [np.reshape(np.asarray(ring, dtype=float), (-1, 2)) for ring in segmentation]
    return outlined_object([[ring] for ring in rings], shape, name=name, label=label, remarks=remarks)


def decode_coco_run_length(code: Mapping[str, Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw the mask of COCO's run-length code, compressed (text) or not (list): lengths down the columns, ground first.

    Args:
        code: `size`, rows and columns, and `counts`.
        shape: rows and columns of the image, px.
    Returns: bool, shape (H, W).
    Raises: ValueError: the code is of another size, or its lengths do not fill it.

    >>> decode_coco_run_length({"size": [2, 2], "counts": [1, 2, 1]}, (2, 2)).astype(int)
    array([[0, 1],
           [1, 0]])
    """
    if list(code["size"]) != list(shape):
        raise ValueError(
            f"a run-length code of the size {list(code['size'])} (rows, columns), the image has {list(shape)}"
        )
    counts = code["counts"]
    lengths = _uncompressed(counts) if isinstance(counts, (str, bytes)) else list(counts)
    if any(length < 0 for length in lengths) or sum(lengths) != shape[0] * shape[1]:
        raise ValueError("a run-length code whose lengths do not fill the image")
    values = np.arange(len(lengths)) % 2 == 1
    return np.repeat(values, lengths).reshape(shape, order="F")


def _uncompressed(counts: str | bytes) -> list[int]:
    """Read numbers of 5 bits a character, the lowest first; from the fourth on as differences to the last but one.

    Source: rleFrString of https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
    """
    lengths: list[int] = []
    number = shift = 0
    for character in counts.encode() if isinstance(counts, str) else counts:
        bits = character - 48
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        lengths.append(number + (lengths[-2] if len(lengths) > 2 else 0))
        number = shift = 0
    return lengths


def _compare_area(told: Any, mask: ObjectMask, remarks: Remarks) -> None:
    area = int(np.count_nonzero(mask.class_map))
    if isinstance(told, (int, float)) and told > 0 and abs(area - told) > LARGEST_DIFFERENCE * told + 4:
        remarks.told[OTHER_AREA].append(mask.name)
