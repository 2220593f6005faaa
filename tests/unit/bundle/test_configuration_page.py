"""The page of all keys: one row for each meaning, with the defaults of all bundles."""

import json
import re

import pytest
from bundle_settings import BUNDLES, ROOT

from medseg_ext.bundle.configuration_page import bundles_text, configuration_page
from medseg_ext.bundle.keys import read_keys

RECIPES = {f"{data}_{model}": ["flow", data, model] for data in ("a", "b") for model in ("x", "y")}


def config(value, description="It.", **more):
    return {"_desc_": {"size": {"description": description, "type": "integer"}}, "size": value, **more}


def rows_of(page):
    return [line for line in page.splitlines() if line.startswith("| `")]


def test_a_key_that_is_the_same_everywhere_has_one_row():
    configs = {bundle: {"train": config(1), "inference": config(1)} for bundle in RECIPES}
    assert rows_of(configuration_page(configs, RECIPES)) == ["| `size` | It. | whole number | all | `1` |"]


def test_where_bundles_differ_the_usual_default_stands_first():
    configs = {
        bundle: {"train": config(2 if bundle.endswith("_y") else 1 + 3 * (bundle == "a_x"))} for bundle in RECIPES
    }
    assert rows_of(configuration_page(configs, RECIPES)) == [
        "| `size` | It. | whole number | all | `2`; `a_x`: `4`; `b_x`: `1` |"
    ]


def test_each_meaning_has_its_row_with_the_workflows_and_bundles_that_it_holds_in():
    configs = {
        bundle: {"train": config(1), "inference": config(2, "Unused." if bundle[-1] == "y" else "That.")}
        for bundle in RECIPES
    }
    assert rows_of(configuration_page(configs, RECIPES)) == [
        "| `size` | It. | whole number | train | `1` |",
        "| `size` | That. | whole number | inference; `*_x` | `2` |",
        "| `size` | Unused. | whole number | inference; `*_y` | `2` |",
    ]


def test_keys_of_some_bundles_have_a_table_of_their_own():
    configs = {bundle: {"train": config(1) if bundle[0] == "a" else {"_desc_": {}}} for bundle in RECIPES}
    assert "## In `a_*`" in configuration_page(configs, RECIPES)


@pytest.mark.parametrize(
    ("bundles", "text"),
    [
        (["a_x"], "`a_x`"),
        (["a_x", "a_y"], "`a_*`"),
        (["a_y", "b_y"], "`*_y`"),
        (["a_x", "b_y"], "`a_x`, `b_y`"),
    ],
)
def test_bundles_of_one_data_set_or_one_model_are_named_together(bundles, text):
    assert bundles_text(bundles, RECIPES) == text


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_the_page_has_every_key_of_every_bundle_with_its_meaning(bundle):
    page = (ROOT / "docs" / "configuration.md").read_text()
    for name in ("train", "evaluate", "inference"):
        for key in read_keys(bundle / "configs" / f"{name}.json"):
            assert f"| `{key.name}` | {key.description} | {key.type} |" in page


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_a_card_leads_to_the_page_and_to_the_configs_themselves(bundle):
    card = bundle / "docs" / "README.md"
    text = card.read_text().split("## Commands")[1]
    link = re.search(r"\]\((\S*configuration\.md)\)", text)[1]
    assert (card.parent / link).resolve() == ROOT / "docs" / "configuration.md"
    assert "`_desc_`" in text
    assert "_desc_" in json.loads((bundle / "configs" / "train.json").read_text())
