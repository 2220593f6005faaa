"""Any word is a value of its key, or refused in a line; any text comes back from a table as it was."""

import csv
import io
import json

import pytest
from bundle_settings import BUNDLES
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from medseg_ext.bundle.values import OverrideError, check_value, read_word
from medseg_ext.images.channels import read_channels
from medseg_ext.tables import NUMBER, read_csv_rows, to_csv

SCHEMAS = {
    (workflow, key): schema
    for workflow in ("train", "evaluate", "inference")
    for key, schema in json.loads((BUNDLES[0] / "configs" / f"{workflow}.json").read_bytes())["_desc_"].items()
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
PYTHON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | TEXT, st.lists, max_leaves=5)
WORDS = (
    TEXT
    | PYTHON.map(repr)
    | st.sampled_from(["", "#", "a#b", "[a,", "{[a]}", "1e999", "-1", "nan", "None", "true", "0x10", "$x", "@y", "%z"])
)


def value_or_refusal(way, *words):
    """Give what a function makes of a word, and what it refuses it with; one of the two is None."""
    try:
        return way(*words), None
    except OverrideError as error:
        return None, str(error)


@given(key=st.sampled_from(sorted(SCHEMAS)), word=WORDS)
def test_a_word_is_taken_as_its_key_takes_it_or_refused_in_a_line(key, word):
    schema = SCHEMAS[key]
    value, reason = value_or_refusal(read_word, f"--{key[1]}", word, schema)
    if reason is not None:
        assert reason.startswith(f"--{key[1]} ")
        assert reason.isprintable()
    else:
        assert Draft202012Validator(schema).is_valid(value)
        assert check_value(key[1], value, schema) == value
        if schema.get("format") == "channels" and value is not None:
            assert value == read_channels(word)  # as `medseg prepare --channel` reads it
        if schema.get("format") == "path" and schema["type"] == "string":
            assert value == word


@given(key=st.sampled_from(sorted(SCHEMAS)), value=PYTHON)
def test_a_value_from_python_is_checked_by_the_same_schema(key, value):
    checked, reason = value_or_refusal(check_value, key[1], value, SCHEMAS[key])
    if reason is not None:
        assert reason.startswith(f"{key[1]} ")
    else:
        assert Draft202012Validator(SCHEMAS[key]).is_valid(checked)


@given(names=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5))
def test_a_text_comes_back_from_a_table_and_no_cell_is_a_formula(names, tmp_path):
    rows = [{"image": image, "kind of +image": kind} for image, kind in names]
    (file := tmp_path / "any.csv").write_bytes(to_csv(["image", "kind of +image"], rows))
    assert list(read_csv_rows(file)) == rows
    cells = [cell for row in csv.reader(io.StringIO(file.read_text("utf-8"), newline="")) for cell in row]
    assert not any(cell.startswith(tuple("=+-@\t\r\n")) and not NUMBER.fullmatch(cell) for cell in cells)


def test_all_keys_are_tried():
    assert len(SCHEMAS) > 80


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_the_default_of_each_key_is_one_of_its_values(bundle):
    config = json.loads((bundle / "configs" / "inference.json").read_bytes())
    for key, schema in config["_desc_"].items():
        default = config[key]
        if not (isinstance(default, str) and default.startswith("$")) and not isinstance(default, dict):
            assert check_value(key, default, schema) == default
