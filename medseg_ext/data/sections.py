"""Decide the section of every raw image."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from medseg_ext.data.datalist import DATASET_FILE, SECTIONS, read_dataset_json
from medseg_ext.data.errors import DataError
from medseg_ext.data.groups import Group
from medseg_ext.data.raw import RawImage
from medseg_ext.data.splits import split_by_group


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
    if torn := {group_of[image_id].name for image_id in bound} & {group.name for group in free.values()}:
        raise DataError(f"group '{min(torn)}' has images in the official test set and outside of it: mend the groups")
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
