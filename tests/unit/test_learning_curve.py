"""Sections of the learning curve: more images are fewer and some, and no group is in two sections."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "learning_curve.py"
GROUPS = {"a": 7, "b": 3, "c": 5, "d": 8, "e": 4, "f": 3, "g": 3, "h": 4, "i": 6, "j": 4, "k": 3}  # as TNBC's


@pytest.fixture(scope="module")
def tool():
    specification = importlib.util.spec_from_file_location("learning_curve", TOOL)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [0, 1, 100])
def test_trainings_of_all_sizes_are_tested_on_the_same_images_of_other_groups(tool, seed):
    items = [{"id": f"{group}{number}", "group": group} for group, count in GROUPS.items() for number in range(count)]
    chosen = [tool.choose_sections(items, size, seed) for size in tool.SIZES]
    assert [len(sections["training"]) for sections in chosen] == list(tool.SIZES)
    assert all(sections["testing"] == chosen[0]["testing"] for sections in chosen)
    for sections in chosen:
        groups = [{item["group"] for item in section} for section in sections.values()]
        assert len(set.union(*groups)) == sum(map(len, groups))
    for few, more in pairwise(chosen):
        assert few["training"] == more["training"][: len(few["training"])]


def test_another_seed_trains_on_other_images_of_the_same_groups(tool):
    items = [{"id": f"{group}{number}", "group": group} for group, count in GROUPS.items() for number in range(count)]
    first, second = (tool.choose_sections(items, 2, seed) for seed in (0, 1))
    assert first["training"] != second["training"]
    assert {key: first[key] for key in ("validation", "testing")} == {
        key: second[key] for key in ("validation", "testing")
    }
    first, second = (tool.choose_sections(items, max(tool.SIZES), seed)["training"] for seed in (0, 1))
    assert {item["group"] for item in first} == {item["group"] for item in second}
