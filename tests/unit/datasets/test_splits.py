from collections import Counter

import numpy as np
import pytest

from medseg_ext.datasets.groups import Group
from medseg_ext.datasets.splits import split_by_group

FRACTIONS = {"training": 0.8, "validation": 0.1, "testing": 0.1}


def random_groups(seed: int, images: int, groups: int, kinds: int = 1) -> dict[str, Group]:
    rng = np.random.default_rng(seed)
    return {
        f"image{n}": Group(f"group{group}", f"kind{group % kinds}")
        for n, group in enumerate(rng.integers(groups, size=images))
    }


@pytest.mark.parametrize("seed", range(20))
def test_no_group_stands_in_two_sections(seed):
    groups = random_groups(seed, images=100, groups=30, kinds=3)
    section_of = split_by_group(groups, fractions=FRACTIONS, seed=seed)
    assert section_of.keys() == groups.keys()
    pairs = {(groups[image_id].name, section) for image_id, section in section_of.items()}
    assert len(pairs) == len({group.name for group in groups.values()})


@pytest.mark.parametrize("seed", range(20))
def test_sections_get_their_share_within_one_group(seed):
    groups = random_groups(seed, images=300, groups=150, kinds=4)
    largest = max(Counter(group.name for group in groups.values()).values())
    counts = Counter(split_by_group(groups, fractions=FRACTIONS, seed=seed).values())
    for section, fraction in FRACTIONS.items():
        assert abs(counts[section] - fraction * 300) <= largest


def test_each_kind_is_shared_out_in_proportion():
    groups = {f"{kind}{n}": Group(f"{kind}{n}", kind) for kind, size in (("a", 200), ("b", 40)) for n in range(size)}
    section_of = split_by_group(groups, fractions=FRACTIONS)
    counts = Counter((groups[image_id].kind, section) for image_id, section in section_of.items())
    assert counts["b", "training"] == 32
    assert counts["b", "validation"] == counts["b", "testing"] == 4
    assert counts["a", "training"] == 160


def test_split_depends_on_the_seed_but_not_on_the_order_of_images():
    groups = random_groups(0, images=60, groups=40)
    shuffled = dict(sorted(groups.items(), key=lambda entry: entry[0][::-1]))
    first = split_by_group(groups, fractions=FRACTIONS, seed=1)
    assert split_by_group(shuffled, fractions=FRACTIONS, seed=1) == first
    assert split_by_group(groups, fractions=FRACTIONS, seed=2) != first


@pytest.mark.parametrize("images", range(3, 12))
def test_even_tiny_sets_have_an_image_in_every_section(images):
    groups = {f"{n}": Group(f"{n}") for n in range(images)}
    assert set(split_by_group(groups, fractions=FRACTIONS).values()) == set(FRACTIONS)


def test_a_group_too_large_for_the_small_sections_goes_to_training():
    groups = {f"{n}": Group("mosaic" if n < 50 else f"{n}") for n in range(80)}
    for seed in range(10):
        assert split_by_group(groups, fractions=FRACTIONS, seed=seed)["0"] == "training"


def test_a_section_without_share_stays_empty():
    groups = random_groups(0, images=30, groups=30)
    fractions = {"training": 0.0, "validation": 0.0, "testing": 1.0}
    assert set(split_by_group(groups, fractions=fractions).values()) == {"testing"}


def test_nothing_to_share_out_gives_nothing():
    assert split_by_group({}, fractions=FRACTIONS) == {}
