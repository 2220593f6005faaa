"""Share images out to training, validation and testing, with groups kept together."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from medseg_ext.datasets.data_set_folder import DATASET_FILE, SECTIONS, read_dataset_json
from medseg_ext.datasets.groups import Group
from medseg_ext.datasets.raw_images import RawImage
from medseg_ext.errors import DataError


def split_by_group(groups: Mapping[str, Group], *, fractions: Mapping[str, float], seed: int = 0) -> dict[str, str]:
    """Choose the section of every image: at random, by whole groups, each kind in proportion.

    The draw depends on nothing but seed and group names, so it is the same on every machine. Sections get
    their share of images as nearly as whole groups allow, and at least one group while there are enough.

    Args:
        groups: group of each image.
        fractions: share of each section; they sum to 1.
        seed: another number is another draw.
    Returns: section of each image.

    >>> groups = {f"image {n}": Group(f"mosaic {n // 2}") for n in range(20)}
    >>> sections = split_by_group(groups, fractions={"training": 0.8, "validation": 0.1, "testing": 0.1})
    >>> Counter(sections.values())
    Counter({'training': 16, 'validation': 2, 'testing': 2})
    >>> all(sections[f"image {n}"] == sections[f"image {n + 1}"] for n in range(0, 20, 2))
    True
    """
    size = Counter(group.name for group in groups.values())
    draw = {name: hashlib.sha256(f"{seed}:{name}".encode()).hexdigest() for name in size}
    wanted = [section for section in fractions if fractions[section] > 0]
    section_of: dict[str, str] = {}
    filled = Counter[str]()
    kinds = sorted(_by_kind(groups).values(), key=lambda names: sum(size[name] for name in names))
    for names in kinds:
        share = {section: fractions[section] * sum(size[name] for name in names) for section in wanted}
        room = dict(share)
        if names is kinds[-1]:  # the largest kind evens out what the others had to round
            room = {section: fractions[section] * len(groups) - filled[section] for section in wanted}
        for name in sorted(names, key=lambda name: (_bulk(size[name], share), draw[name])):
            section_of[name] = section = max(wanted, key=lambda candidate: (room[candidate], -filled[candidate]))
            room[section] -= size[name]
            filled[section] += size[name]
    for section in wanted:
        fullest = max(wanted, key=list(section_of.values()).count)
        spare = [name for name in section_of if section_of[name] == fullest]
        if not filled[section] and len(spare) > 1:
            section_of[min(spare, key=lambda name: (size[name], draw[name]))] = section
    return {image_id: section_of[group.name] for image_id, group in groups.items()}


def _bulk(size: int, share: Mapping[str, float]) -> int:
    """Order groups that would overfill a section before all others, the largest first, while there is room."""
    return -size if size > min(share.values()) else 0


def _by_kind(groups: Mapping[str, Group]) -> dict[str, list[str]]:
    """List the groups of each kind; a group of mixed images counts for its most frequent kind."""
    kinds_of: dict[str, Counter[str]] = defaultdict(Counter)
    for group in groups.values():
        kinds_of[group.name][group.kind] += 1
    by_kind: dict[str, list[str]] = defaultdict(list)
    for name, kinds in kinds_of.items():
        by_kind[min(kinds, key=lambda kind: (-kinds[kind], kind))].append(name)
    return dict(sorted(by_kind.items()))


def choose_sections(
    images: Sequence[RawImage],
    group_of: Mapping[str, Group],
    *,
    fractions: Sequence[float],
    seed: int,
    splits_from: Path | None = None,
) -> dict[str, str]:
    """Keep images in the section they are bound to, and share out the others.

    Args:
        images: the images.
        group_of: group of each image.
        fractions: shares of training, validation and testing; where images are bound to testing, the others are
            shared out to training and validation alone.
        seed: another number is another split.
        splits_from: a data set folder or its dataset.json, whose split is to be taken over instead.
    Returns: section of each image.
    Raises: DataError: fractions that are none; a group stands in the official test set and outside of it; an image
        is not in `splits_from`.
    """
    if len(fractions) != len(SECTIONS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"fractions must be {len(SECTIONS)} shares that sum to 1, got {list(fractions)}")
    bound = {image.id: image.section for image in images if image.section}
    free = {image.id: group_of[image.id] for image in images if not image.section}
    sections_of: dict[str, set[str]] = defaultdict(set)
    for image in images:
        sections_of[group_of[image.id].name].add(image.section or "")
    if torn := [name for name, sections in sections_of.items() if len(sections) > 1]:
        what = "the official test set" if "testing" in sections_of[min(torn)] else "the given validation set"
        raise DataError(f"group '{min(torn)}' has images in {what} and outside of it: mend the groups")
    if splits_from:
        return bound | _split_of(splits_from, free)
    share = dict(zip(SECTIONS, fractions, strict=True))
    if bound:  # the official test set is there already
        share["testing"] = 0.0
    whole = sum(share.values())
    if free and not whole:
        raise DataError(f"fractions {list(fractions)} leave nothing for training and validation: give them a share")
    return bound | split_by_group(free, fractions={key: part / whole for key, part in share.items()}, seed=seed)


def _split_of(path: Path, images: Mapping[str, Group]) -> dict[str, str]:
    dataset = read_dataset_json(path.parent if path.name == DATASET_FILE else path)
    known = {item["id"]: section for section in SECTIONS for item in dataset.get(section, [])}
    if missing := sorted(images.keys() - known.keys()):
        raise DataError(f"{path} does not name the image '{missing[0]}': give the split of the same data set")
    return {image_id: known[image_id] for image_id in images}
