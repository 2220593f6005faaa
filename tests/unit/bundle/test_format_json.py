"""JSON for people: the same content, with short lists on one line."""

import json
import random

import pytest
from bundle_settings import BUNDLES

from medseg_ext.bundle.format_json import format_json


def random_content(generator, depth):
    """Draw a value with lists and objects inside each other."""
    kind = generator.randrange(7 if depth else 5)
    if kind < 5:
        return [None, True, generator.randrange(10**9), generator.random(), 'a "µ" #\n' * generator.randrange(9)][kind]
    members = [random_content(generator, depth - 1) for _ in range(generator.randrange(9))]
    return members if kind == 5 else {f"key {number}": member for number, member in enumerate(members)}


@pytest.mark.parametrize("seed", range(50))
def test_what_is_written_is_read_back(seed):
    content = random_content(random.Random(seed), depth=4)
    assert json.loads(format_json(content)) == content
    entries = {"_desc_": {"a": content, "b": [1]}}
    assert json.loads(format_json(entries, one_line=["_desc_"])) == entries


def test_a_short_list_is_on_one_line_and_a_long_one_is_broken():
    text = format_json({"short": [256, 256], "empty": [], "long": ["a" * 60, "b" * 60], "nested": [[1, 2], [3]]})
    lines = text.splitlines()
    assert lines[1:3] == ['    "short": [256, 256],', '    "empty": [],']
    assert lines[3:7] == ['    "long": [', f'        "{"a" * 60}",', f'        "{"b" * 60}"', "    ],"]
    assert lines[7:] == ['    "nested": [', "        [1, 2],", "        [3]", "    ]", "}"]


def test_entries_are_each_on_one_line_however_long():
    text = format_json({"_desc_": {"a": {"text": "x" * 200}, "b": {"type": ["string", "null"]}}}, one_line=["_desc_"])
    assert text.splitlines()[2:4] == [
        '        "a": {"text": "' + "x" * 200 + '"},',
        '        "b": {"type": ["string", "null"]}',
    ]


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_no_short_list_of_a_bundle_is_split(bundle):
    for file in sorted((bundle / "configs").glob("*.json")):
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines):
            if line[-1:] not in ("[", "{"):
                continue
            end = next(index for index in range(number + 1, len(lines)) if lines[index].strip()[:1] in ("]", "}"))
            inside = [each.strip() for each in lines[number + 1 : end]]
            if not any(each[-1:] in ("[", "{") or each.rstrip(",")[-1:] in ("]", "}") for each in inside):
                joined = line + " ".join(inside) + lines[end].strip()
                assert len(joined) > 120, f"{file}: {number + 1}: {joined}"
