"""Look through a data set folder for what would make results wrong."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from medseg_ext.datasets.data_set_folder import DATASET_FILE, FOLDER_OF_KEY, SECTIONS, check_items, read_dataset_json
from medseg_ext.datasets.findings import GRAVE, LOOK, NOTE, Case, Finding, Findings, ordered
from medseg_ext.datasets.label_faults import LEAST_PX, TINY_PX, Fit, LabelFacts, fit_of_labels, measure_labels
from medseg_ext.datasets.parallel import parallel_map
from medseg_ext.errors import DataError, reason_of
from medseg_ext.files import told_if_unreadable
from medseg_ext.images.eight_bit import read_rgb_8_bit
from medseg_ext.images.fingerprints import Fingerprint, are_one_picture, candidate_pairs, fingerprint
from medseg_ext.images.read import channels_prepared, read_labels

TINY_SHARE = 0.1  # of a usual object of the data set
NUMBER_AT_END = re.compile(r"[ _.-]+(?:[A-Za-z]{0,4}\d+)$")
DUPLICATES_REMEDY = "give both the same group in the CSV of --groups and prepare again, or remove one"


class CheckedImage(NamedTuple):
    """An image of a data set folder, as dataset.json lists it.

    Attributes:
        id: its id.
        section: training, validation or testing.
        group: what it belongs to; empty where it has none.
        files: absolute paths under `image`, `instances` and `classes`.
    """

    id: str
    section: str
    group: str
    files: Mapping[str, Path]


class Facts(NamedTuple):
    """What one image tells; `error` alone where it cannot be read, `sizes` where they differ."""

    error: str = ""
    sizes: str = ""
    print: Fingerprint | None = None
    labels: LabelFacts | None = None
    fit: Fit = Fit()
    classes_differ: bool = False


def check_data_set(dataset_dir: Path | str, *, workers: int | None = None) -> Findings:
    """Look through a data set folder.

    Two images of one larger picture that overlap in part are not found.

    Args:
        dataset_dir: the folder, see `docs/design.md`.
        workers: number of processes; all cores if None.

    Raises:
        DataError: there is no such folder, or it is not prepared; dataset.json is broken, or lists no image.
    """
    images = list_checked_images(dataset_dir)
    with (
        closing(parallel_map(partial(_make_look), images, workers=workers)) as results,
        tqdm(results, total=len(images), unit=" images", desc="checking", disable=None) as bar,
    ):
        facts = list(bar)
    labels = [each.labels for each in facts if each.labels is not None]
    findings = [
        *_of_files(images, facts),
        *_of_duplicates(images, facts),
        *_of_groups(images),
        *_of_labels(images, facts),
    ]
    name = str(read_dataset_json(dataset_dir).get("name", Path(dataset_dir).absolute().name))
    return Findings(name, len(images), sum(len(each.areas_px) for each in labels), ordered(findings))


def list_checked_images(dataset_dir: Path | str) -> list[CheckedImage]:
    """List the images of all sections of a data set folder; raises as `check_data_set`."""
    folder, dataset = Path(dataset_dir).absolute(), read_dataset_json(dataset_dir)
    images = []
    for section in SECTIONS:
        items = dataset.get(section, [])
        where = f"{Path(dataset_dir) / DATASET_FILE}, {section}"
        if not isinstance(items, list):
            raise DataError(f"{where} is no list: delete the folder, then prepare it with `medseg prepare`")
        check_items(items, where)
        for item in items:
            files = {key: folder / item[key] for key in FOLDER_OF_KEY}
            images.append(CheckedImage(item["id"], section, str(item.get("group") or ""), files))
    if not images:
        raise DataError(f"{Path(dataset_dir) / DATASET_FILE} lists no image: prepare it with `medseg prepare`")
    return images


def _make_look() -> Callable[[CheckedImage], Facts]:
    return look_at


def look_at(image: CheckedImage) -> Facts:
    """Read an image with its labels, and take what is compared."""
    try:
        pixels = read_pixels(image)
        instances, classes = read_labels(image.files["instances"]), read_labels(image.files["classes"])
    except DataError as error:
        return Facts(error=reason_of(error, ""))
    seen = fingerprint(pixels)
    sizes = {"image": pixels.shape[:2], "instances": instances.shape, "classes": classes.shape}
    if len(set(sizes.values())) > 1:
        return Facts(sizes=", ".join(f"{key} {height} x {width}" for key, (height, width) in sizes.items()), print=seen)
    labels = measure_labels(instances)
    fit = Fit() if labels.backgrounds else fit_of_labels(pixels, instances)
    return Facts(print=seen, labels=labels, fit=fit, classes_differ=bool(((instances > 0) != (classes > 0)).any()))


def read_pixels(image: CheckedImage) -> NDArray[np.uint8]:
    """Read an image as uint8 (H, W, C). Raises: DataError: it cannot be read."""
    path = image.files["image"]
    with told_if_unreadable(path):
        return read_rgb_8_bit(path.read_bytes(), str(path), channel=channels_prepared(path))


def _of_files(images: Sequence[CheckedImage], facts: Sequence[Facts]) -> Iterator[Finding]:
    both = list(zip(images, facts, strict=True))
    yield Finding(
        GRAVE,
        "files that are missing or cannot be read",
        "prepare the data set again",
        [_case(image, each.error) for image, each in both if each.error],
    )
    yield Finding(
        GRAVE,
        "labels of another size than their image",
        "get the labels of this image, or label it again, and prepare again",
        [_case(image, each.sizes) for image, each in both if each.sizes],
    )


def _of_duplicates(images: Sequence[CheckedImage], facts: Sequence[Facts]) -> Iterator[Finding]:
    exact: defaultdict[str, list[int]] = defaultdict(list)
    prints = {place: each.print for place, each in enumerate(facts) if each.print is not None}
    for place, seen in prints.items():
        exact[seen.exact].append(place)
    pairs = [(places[0], other, "") for places in exact.values() for other in places[1:]]
    # Of images that are equal the first stands for all: a thousand copies are a thousand pairs, not a million.
    firsts = [places[0] for places in exact.values()]
    candidates = list(candidate_pairs([prints[place] for place in firsts]))
    near = []
    for first, second in tqdm(candidates, desc="comparing", leave=False, disable=None):
        one, other = firsts[first], firsts[second]
        found = are_one_picture(read_pixels(images[one]), read_pixels(images[other]))
        if found is not None:
            near.append((one, other, f"correlation {found:.3f}"))
    kinds = (
        ("one image in two splits, pixel for pixel", "one image twice in a split, pixel for pixel", pairs),
        ("nearly one image in two splits", "nearly one image twice in a split", sorted(near, key=lambda pair: pair[2])),
    )
    for across, within, found_pairs in kinds:
        cases = [
            Case((images[one].id, images[other].id), (images[one].section, images[other].section), detail)
            for one, other, detail in reversed(found_pairs)
        ]
        apart = [case for case in cases if case.sections[0] != case.sections[1]]
        yield Finding(GRAVE, across, DUPLICATES_REMEDY, apart)
        yield Finding(
            LOOK,
            within,
            "remove one: it counts twice",
            [case for case in cases if case.sections[0] == case.sections[1]],
        )


def _of_groups(images: Sequence[CheckedImage]) -> Iterator[Finding]:
    by_group: defaultdict[str, list[CheckedImage]] = defaultdict(list)
    for image in images:
        if image.group:
            by_group[image.group].append(image)
    yield Finding(
        GRAVE,
        "a group in two splits",
        "prepare again with --groups, without --splits-from: a group is never split",
        [_torn(name, members) for name, members in by_group.items() if _is_torn(members)],
    )
    if any(len(members) > 1 for members in by_group.values()):
        return
    families = families_of([image.id for image in images])
    members_of = {name: [images[place] for place in places] for name, places in families.items()}
    cases = [_torn(f"{name}...", members) for name, members in members_of.items() if _is_torn(members)]
    yield Finding(
        LOOK,
        "names suggest groups, such as slides or patients, and there are none: they stand in two splits",
        "if these belong together, prepare again with --groups, a CSV of image_id,group",
        cases,
    )


def families_of(ids: Sequence[str]) -> dict[str, list[int]]:
    """Put images together whose names differ in a number at the end.

    Returns:
        Positions under the common beginning; nothing where that is no sign of groups: all names have one beginning, or
        hardly two share one.

    >>> families_of(["a_1", "a_2", "b_1", "b_2", "c"])
    {'a': [0, 1], 'b': [2, 3]}
    >>> families_of(["image_1", "image_2", "image_3"])
    {}
    """
    families: defaultdict[str, list[int]] = defaultdict(list)
    for place, image_id in enumerate(ids):
        families[NUMBER_AT_END.sub("", image_id)].append(place)
    several = {name: places for name, places in families.items() if len(places) > 1}
    return several if len(several) > 1 and sum(map(len, several.values())) >= len(ids) / 2 else {}


def _is_torn(members: Sequence[CheckedImage]) -> bool:
    return len({each.section for each in members}) > 1


def _torn(name: str, members: Sequence[CheckedImage]) -> Case:
    first = members[0]
    other = next(each for each in members if each.section != first.section)
    detail = f"{len(members)} images of '{name}'"
    return Case((first.id, other.id), (first.section, other.section), detail)


def _of_labels(images: Sequence[CheckedImage], facts: Sequence[Facts]) -> Iterator[Finding]:
    seen = [(image, each.fit, each.labels) for image, each in zip(images, facts, strict=True) if each.labels]
    areas = np.concatenate([np.zeros(0, dtype=np.int64), *(labels.areas_px for _, _, labels in seen)])
    tiny_px = max(LEAST_PX, min(TINY_PX, TINY_SHARE * float(np.median(areas)))) if len(areas) else 0.0

    def objects(gravity: str, problem: str, remedy: str, which: Callable[[LabelFacts], Sequence[int]]) -> Finding:
        found = [(image, which(labels)) for image, _, labels in seen]
        cases = [_case(image, _counted(numbers), numbers) for image, numbers in found if len(numbers)]
        return Finding(gravity, problem, remedy, sorted(cases, key=lambda case: -len(case.objects)))

    def fits(gravity: str, problem: str, remedy: str, which: Callable[[Fit], str]) -> Finding:
        return Finding(
            gravity, problem, remedy, [_case(image, detail) for image, fit, _ in seen if (detail := which(fit))]
        )

    yield Finding(
        GRAVE,
        "labels that lie scattered, as the values of a photograph, and are no objects",
        "look whether images and labels are swapped, and prepare again from label maps",
        [_case(image, _in_single_pixels(labels)) for image, _, labels in seen if labels.is_scattered],
    )
    yield objects(
        GRAVE,
        "an object that is the background, or a complement",
        "invert the mask, so that objects are bright and all else is 0, and prepare again",
        lambda labels: labels.backgrounds,
    )
    yield fits(
        GRAVE,
        "labels that are shifted against their image",
        "move the labels, or label anew, and prepare again",
        lambda fit: "" if fit.shift_px is None else "by {} rows, {} columns".format(*fit.shift_px),
    )
    yield fits(
        GRAVE,
        "labels that are turned or mirrored against their image",
        "turn them back, and prepare again",
        lambda fit: "they fit when they are turned" if fit.is_turned else "",
    )
    yield fits(
        LOOK,
        "labels that do not follow their image",
        "look whether they are another image's",
        lambda fit: "" if fit.follows or fit.shift_px or fit.is_turned else "no edges along the outlines",
    )
    yield objects(
        LOOK,
        "objects of a few pixels",
        "remove them if they are slips of the pen",
        lambda labels: labels.numbers[(labels.areas_px <= tiny_px) & ~labels.is_cut].tolist(),
    )
    yield objects(
        LOOK,
        "objects in several separate pieces under one number",
        "give each piece its own mask, if these are several objects",
        lambda labels: labels.in_pieces,
    )
    yield objects(
        LOOK,
        "objects that look like two that touch, under one number",
        "look, and part those that are two",
        lambda labels: labels.like_two,
    )
    yield Finding(
        LOOK,
        "classes that disagree with the objects: one is 0 where the other is not",
        "prepare again",
        [_case(image) for image, each in zip(images, facts, strict=True) if each.classes_differ],
    )
    yield Finding(
        NOTE,
        "images without objects",
        "none, if they show none",
        [_case(image) for image, _, labels in seen if not len(labels.numbers)],
    )


def _case(image: CheckedImage, detail: str = "", objects: Sequence[int] = ()) -> Case:
    return Case((image.id,), (image.section,), detail, tuple(objects))


def _in_single_pixels(labels: LabelFacts) -> str:
    return f"{len(labels.numbers)} objects, half of them of {np.median(labels.areas_px):.0f} px or less"


def _counted(numbers: Sequence[Any]) -> str:
    more = ", ..." if len(numbers) > 5 else ""
    return f"{len(numbers)} object{'s' * (len(numbers) > 1)}, number {', '.join(map(str, numbers[:5]))}{more}"
