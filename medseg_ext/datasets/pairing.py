"""Find the files of labels that belong to images, by their names and folders."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from medseg_ext.datasets.raw_images import is_image_name
from medseg_ext.datasets.roles import role_of
from medseg_ext.datasets.sources import Source
from medseg_ext.errors import DataError
from medseg_ext.files import file_key

IMAGE_FOLDERS = frozenset({"images", "image", "imgs", "img", "raw", "raw_images", "pictures", "photos"})
LABEL_FOLDERS = frozenset(
    {
        *(
            "masks",
            "mask",
            "labels",
            "label",
            "label_maps",
            "labelmaps",
            "annotations",
            "annotation",
            "instances",
            "gt",
        ),
        *("segmentations", "segmentation", "objects", "ground_truth", "groundtruth", "outlines", "rois", "roi"),
        *("geojson", "geojsons"),
    }
)
WORDS_OF_LABELS = (  # in names of files, also in the plural; those in docs/file_formats.md
    *("mask", "cp_mask", "label", "labeled", "labelled", "label_map", "annotation", "instance", "segmentation", "seg"),
    *("object", "gt", "ground_truth", "outline", "roi", "roi_set", "cell", "cytoplasm", "nucleus", "nuclei"),
    "detection",
)
LABEL_WORDS = "|".join(f"{word.replace('_', '[_-]?')}s?" for word in WORDS_OF_LABELS)
LABEL_ENDING = re.compile(rf"(?P<stem>.+?)[ ._-]+(?P<word>{LABEL_WORDS})", re.IGNORECASE)
LABEL_BEGINNING = re.compile(rf"(?P<word>{LABEL_WORDS})[ ._-]+(?P<stem>.+)", re.IGNORECASE)
CALLED_LABELS = re.compile(r"[ ._-](?:masks?|labels?)$", re.IGNORECASE)  # which no image is
IMAGE_ENDINGS = ("_img", "_image", "_im", "_raw", "-img", "-image", "-raw")
SUFFIX = re.compile(r"(\.ome)?(\.geojson\.gz|\.json\.gz|\.nii\.gz|\.[A-Za-z0-9]+)$", re.IGNORECASE)
SECTION_OF_FOLDER = {
    **dict.fromkeys(("train", "training"), "training"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "testing"),
}
WITHOUT_LABELS = "image without labels"
WITHOUT_IMAGE = "labels without an image"
CELLPOSE_FILE = "Cellpose's _seg.npy, in whose stead the label map beside it is read"


@dataclass
class Pair:
    """An image and its labels.

    Attributes:
        image: the file.
        id: its name in the prepared set.
        labels: the file of labels of each part, "cell" or "nucleus"; "" where one file has all.
        section: the section whose folder it is in, if any.
    """

    image: str
    id: str
    labels: dict[str, str] = field(default_factory=dict)
    section: str | None = None


@dataclass
class Pairing:
    """What of a source belongs together.

    Attributes:
        pairs: images with labels.
        skipped: names of the other files under the reason.
    """

    pairs: list[Pair]
    skipped: dict[str, list[str]]


Key = tuple[tuple[str, ...], str]
"""Folders and stem that an image and its labels share."""


def pair_files(
    source: Source,
    is_image: Callable[[str], bool],
    is_label: Callable[[str], bool],
    *,
    names: Sequence[str] | None = None,
) -> Pairing:
    """Pair images with their labels.

    They lie in one folder, and the labels' name is that of the image with an ending such as `_mask`; or in folders side
    by side, such as `images` and `labels`. Where labels are of another format than images, they need no ending.

    Args:
        source: where the files are.
        is_image: says by its name whether a file can be an image.
        is_label: says whether it can hold labels; a name may be both.
        names: the files, if not all of the source.
    Raises: DataError: two files have the labels of one part of an image; two images have one name.
    """
    names = source.names if names is None else names
    found = _pair(source, names, is_image, is_label, by_folder=True)
    if not found.pairs:  # a folder of a telling name may hold all, images too
        found = _pair(source, names, is_image, is_label, by_folder=False)
    return found


def _pair(
    source: Source,
    names: Sequence[str],
    is_image: Callable[[str], bool],
    is_label: Callable[[str], bool],
    *,
    by_folder: bool,
) -> Pairing:
    has_image_folders = _has_image_folders(names)
    images: dict[Key, str] = {}
    candidates: list[tuple[str, Key, str]] = []
    for name in names:
        if not (is_image(name) or is_label(name)):
            continue
        folders, side, role = _place(name, has_image_folders=has_image_folders) if by_folder else _plain(name)
        key = folders, stem_of(name)
        if is_label(name) and (side == "labels" or not is_image(name)):
            candidates.append((name, key, role))
        else:
            _add_image(images, key, name, source)
    for key, name in list(images.items()):  # labels that lie among images
        if is_label(name) and _image_of(key, images, "", is_itself=True):
            candidates.append((name, key, ""))
            del images[key]
    labels: dict[Key, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    orphans = []
    for name, key, role in candidates:
        if match := _image_of(key, images, role) or _only_image_of(key, images):
            labels[match[0]][match[1]].append(name)
        else:
            orphans.append(name)
    alone = {name: key for key, name in images.items() if key not in labels}
    orphans += [name for name, (_, stem) in alone.items() if is_label(name) and CALLED_LABELS.search(stem)]
    skipped = {WITHOUT_LABELS: [name for name in alone if name not in orphans], WITHOUT_IMAGE: orphans}
    pairs = []
    ids = _ids(labels)
    for key, files in labels.items():
        chosen, passed_over = _one_file_a_role(images[key], files, source)
        skipped[CELLPOSE_FILE] = skipped.get(CELLPOSE_FILE, []) + passed_over
        pairs.append(Pair(images[key], ids[key], chosen, section_of(images[key])))
    return Pairing(
        sorted(pairs, key=lambda pair: pair.image), {reason: sorted(each) for reason, each in skipped.items() if each}
    )


def labels_among(names: Sequence[str]) -> list[str]:
    """Tell which of several images are called labels of another one, with the words that `pair_files` knows.

    >>> labels_among(["a.tif", "a_mask.tif", "b_mask.tif", "images/c.png", "labels/c.png", "labels/d.png"])
    ['a_mask.tif', 'labels/c.png']
    >>> labels_among(["a.tif", "a_img.tif", "a.png", "a.png.tif", "a_1.tif"])
    []
    """
    return _labels_among(names, by_folder=True) or _labels_among(names, by_folder=False)


def _labels_among(names: Sequence[str], *, by_folder: bool) -> list[str]:
    has_image_folders = _has_image_folders(names)
    placed = {
        name: (_place(name, has_image_folders=has_image_folders) if by_folder else _plain(name)) for name in names
    }
    keys = {name: (folders, stem_of(name)) for name, (folders, _, _) in placed.items()}
    images = {keys[name] for name, (_, side, _) in placed.items() if side != "labels"}
    of_images = {
        name: _image_of(keys[name], images, role, is_itself=side != "labels", by_word=side != "labels")
        for name, (_, side, role) in placed.items()
    }
    return [name for name, image in of_images.items() if image]


def _has_image_folders(names: Sequence[str]) -> bool:
    return any(part.lower() in IMAGE_FOLDERS for name in names for part in PurePosixPath(name).parts[:-1])


def stem_of(name: str) -> str:
    """Give a file's name without what says its format.

    >>> [stem_of(name) for name in ("x/a.ome.tif", "a.geojson.gz", "a.1.png")]
    ['a', 'a', 'a.1']
    """
    file = PurePosixPath(name).name
    return SUFFIX.sub("", file) or file


def section_of(name: str) -> str | None:
    """Tell the section of a file by the nearest folder that is called like one."""
    folders = reversed(PurePosixPath(name).parts[:-1])
    return next((SECTION_OF_FOLDER[each.lower()] for each in folders if each.lower() in SECTION_OF_FOLDER), None)


def sections_of(found: Collection[str | None]) -> Mapping[str | None, str | None]:
    """Say what the folders of images mean: those of `train` are shared out, where there is no folder for validation."""
    if "validation" in found:
        return {section: section or "training" for section in {*found, None}}
    return {section: None if section == "training" else section for section in {*found, None}}


def _plain(name: str) -> tuple[tuple[str, ...], str, str]:
    return PurePosixPath(name).parts[:-1], "", ""


def _place(name: str, *, has_image_folders: bool) -> tuple[tuple[str, ...], str, str]:
    """Split the folders of a file into those that its partner has, too; the side that it is on; and the part."""
    kept: list[str] = []
    side = role = ""
    folders = PurePosixPath(name).parts[:-1]
    told = [each.lower() for each in folders]
    has_label_folder = any(each in LABEL_FOLDERS for each in told)
    for folder, word in zip(folders, told, strict=True):
        if word in IMAGE_FOLDERS:
            side = "images"
        elif word in LABEL_FOLDERS:
            side = "labels"
        elif (has_label_folder or (has_image_folders and not set(told) & IMAGE_FOLDERS)) and role_of(word):
            side, role = "labels", role_of(word)
        else:
            kept.append(folder)
    return tuple(kept), side, role


def _add_image(images: dict[Key, str], key: Key, name: str, source: Source) -> None:
    if key in images:
        raise DataError(
            f"{source.where(images[key])} and {source.where(name)} are two images of one name: remove or rename one"
        )
    images[key] = name


def _image_of(
    key: Key, images: Collection[Key], role: str, *, is_itself: bool = False, by_word: bool = False
) -> tuple[Key, str] | None:
    """Find the image of a file of labels, and the part that it shows: by the same name, or with an ending.

    Args:
        key: of the file.
        images: those that there are.
        role: the part that its folder tells.
        is_itself: whether the file is among them, and another is looked for.
        by_word: whether its own name has to say that it is labels.
    """
    folders, stem = key
    tried = [(stem, role)] + ([(stem_of(stem), role)] if is_image_name(stem) else [])  # a.tif.geojson
    first = len(tried) if by_word else 0
    for number, (stem, role) in enumerate(tried):  # it grows: a_nuclei_mask
        if number >= first and (folders, stem) in images and not (is_itself and (folders, stem) == key):
            return (folders, stem), role
        if len(tried) < 6:
            for pattern in (LABEL_ENDING, LABEL_BEGINNING):
                if match := pattern.fullmatch(stem):
                    tried.append((match["stem"], role or role_of(match["word"])))
    for stem, role in tried[first:]:
        for ending in IMAGE_ENDINGS:
            if (folders, stem + ending) in images and not (is_itself and (folders, stem + ending) == key):
                return (folders, stem + ending), role
    return None


def _only_image_of(key: Key, images: Mapping[Key, str]) -> tuple[Key, str] | None:
    """Take `RoiSet.zip` or `labels.tif` for the labels of the only image of its folder."""
    if not re.fullmatch(LABEL_WORDS, key[1], re.IGNORECASE):
        return None
    beside = [each for each in images if each[0] == key[0]]
    return (beside[0], role_of(key[1])) if len(beside) == 1 else None


def _one_file_a_role(image: str, files: Mapping[str, list[str]], source: Source) -> tuple[dict[str, str], list[str]]:
    chosen, passed_over = {}, []
    for role, names in files.items():
        pickles = [name for name in names if name.lower().endswith("_seg.npy")]
        if len(names) > len(pickles):
            passed_over += pickles
            names = [name for name in names if name not in pickles]
        if len(names) > 1:
            raise DataError(
                f"{source.where(names[0])} and {source.where(names[1])} are both labels of {image}: remove one, or call"
                " them _cell and _nucleus, if they show these"
            )
        chosen[role] = names[0]
    if "" in chosen and len(chosen) > 1:
        role = next(filter(None, chosen))
        raise DataError(
            f"{source.where(chosen[''])} and {source.where(chosen[role])} are both labels of {image}, and only one says"
            " of what: call them _cell and _nucleus, or remove one"
        )
    return chosen, passed_over


def _ids(keys: Collection[Key]) -> dict[Key, str]:
    """Give each image its stem as id, with the folders before it where two are alike."""
    alike = Counter(file_key(stem) for _, stem in keys)
    return {
        (folders, stem): stem if alike[file_key(stem)] == 1 else "_".join((*folders, stem)) for folders, stem in keys
    }
