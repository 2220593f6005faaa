import json
import random

import pytest
from bundle_settings import ROOT

from medseg_ext.bundle.render import (
    RenderError,
    merge_fragments,
    read_fragments,
    read_order,
    read_recipes,
    render_all,
    render_configs,
    stale_files,
    stray_files,
)
from medseg_ext.cli.main import main

WORKFLOW = """
keys:
  device: {description: Where it runs., type: string}
  seed: {description: Seed of everything random., type: [integer, "null"], train: {minimum: 0}}
  epochs: {description: Number of epochs., type: integer, minimum: 1}
common: {network: {channels: 8}, device: cpu, seed: 1}
train: {optimizer: {lr: 0.1, decay: 0.2}, train: {handlers: [a], data: b}, run: [go], epochs: 3}
multi_gpu_train: {optimizer#lr: 0.3}
metadata: {version: 1}
"""


@pytest.fixture
def bundles(tmp_path):
    """A small tree of fragments: what is shared, one workflow, one data set, one model."""
    base = tmp_path / "bundles" / "_base"
    for name, text in {
        "recipes.yaml": "cells_net: [flow, cells, net]",
        "order.yaml": "{parts: [network, optimizer, train, run], inside: {train: [data, handlers]}}",
        "workflows/shared.yaml": WORKFLOW,
        "workflows/flow.yaml": "train: {optimizer#lr: 0.4}",
        "workflows/logging.conf": "[loggers]",
        "data_sets/cells.yaml": "train: {optimizer#lr: 0.5}",
        "data_sets/cells_license.txt": "CC0",
        "models/net.yaml": "common: {network#channels: 16}",
    }.items():
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(text)
    (tmp_path / "LICENSE").write_text("Apache")
    return tmp_path / "bundles"


def config(bundles, name):
    return json.loads((bundles / "cells_net" / "configs" / f"{name}.json").read_text())


def test_a_leaf_is_overridden_and_its_neighbours_are_kept(bundles):
    render_all(bundles)
    assert config(bundles, "train")["optimizer"] == {"lr": 0.5, "decay": 0.2}
    assert config(bundles, "train")["network"] == config(bundles, "inference")["network"] == {"channels": 16}


def test_a_copy_is_of_what_all_fragments_make_and_keeps_it(bundles):
    (bundles / "_base" / "workflows" / "flow.yaml").write_text("train: {run: [{again: {_copy_of_: optimizer}}]}")
    render_all(bundles)
    assert config(bundles, "train")["run"] == [{"again": {"lr": 0.5, "decay": 0.2}}]


def test_a_copy_keeps_values_of_its_own(bundles):
    (bundles / "_base" / "workflows" / "flow.yaml").write_text("train: {run: {again: {_copy_of_: optimizer}}}")
    (bundles / "_base" / "models" / "net.yaml").write_text("train: {run#again#lr: 0.1, optimizer#lr: 0.4}")
    render_all(bundles)
    assert config(bundles, "train")["run"] == {"again": {"lr": 0.1, "decay": 0.2}}
    assert config(bundles, "train")["optimizer"] == {"lr": 0.4, "decay": 0.2}


def test_an_overlay_holds_its_own_keys_alone(bundles):
    render_all(bundles)
    assert config(bundles, "multi_gpu_train") == {"optimizer#lr": 0.3}


def test_what_holds_for_a_pair_comes_last(bundles):
    pair = bundles / "_base" / "pairs" / "cells+net.yaml"
    pair.parent.mkdir()
    pair.write_text("train: {optimizer#lr: 0.7}")
    (pair.parent / "flow+net.yaml").write_text("train: {optimizer#decay: 0.8}")
    render_all(bundles)
    assert config(bundles, "train")["optimizer"] == {"lr": 0.7, "decay": 0.8}


def test_a_config_begins_with_what_a_person_sets_and_its_parts_follow_in_their_order(bundles):
    render_all(bundles)
    train = config(bundles, "train")
    assert list(train) == ["_desc_", "device", "seed", "epochs", "network", "optimizer", "train", "run"]
    assert list(train["train"]) == ["data", "handlers"]
    assert list(config(bundles, "inference")) == ["_desc_", "device", "seed", "network"]


def test_each_config_describes_its_own_keys(bundles):
    render_all(bundles)
    described = config(bundles, "train")["_desc_"]
    assert list(described) == ["device", "seed", "epochs"]
    assert described["seed"] == {"description": "Seed of everything random.", "type": ["integer", "null"], "minimum": 0}
    assert list(config(bundles, "evaluate")["_desc_"]) == ["device", "seed"]
    assert "minimum" not in config(bundles, "evaluate")["_desc_"]["seed"]


def test_a_later_fragment_says_what_a_key_means_there(bundles):
    (bundles / "_base" / "models" / "net.yaml").write_text("keys: {device#description: A GPU.}")
    render_all(bundles)
    assert config(bundles, "train")["_desc_"]["device"] == {"description": "A GPU.", "type": "string"}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("keys: {lr: {description: Rate., type: number}}", r"models/net\.yaml: keys: lr: no config has this key"),
        ("train: {patience: 3}", r"models/net\.yaml: train: patience: has no description"),
        ("common: {patience: null}", r"models/net\.yaml: common: patience: has no description"),
        ("inference: {new_part: {_target_: x}}", r"models/net\.yaml: inference: new_part: has no description"),
        (
            "train: {epochs: 0}",
            r"models/net\.yaml: train: epochs: its default does not fit: 0 is less than the minimum",
        ),
        ("train: {epochs: true}", r"epochs: its default does not fit: True is not of type 'integer'"),
        ("train: {seed: -1}", r"seed: its default does not fit.*its description is in workflows/shared\.yaml"),
        ("train: {train#more: 1}", r"models/net\.yaml: train: train#more: has no place in order\.yaml"),
        ("keys: {device#type: strin}", r"models/net\.yaml: keys: device: is no JSON Schema"),
        ("keys: {device: text}", r"models/net\.yaml: keys: device: expected a schema, got 'text'"),
        ("keys: {device: {type: string}}", r"models/net\.yaml: keys: device: expected a description, got None"),
        ("keys: {device#description: $x}", r"keys: device: a description begins with none of \$ @ %"),
        ("keys: {device#description: 'as a#b'}", r"keys: device: a description begins with none .* has no #"),
    ],
)
def test_a_key_without_its_meaning_is_refused_with_fragment_and_key(bundles, model, message):
    (bundles / "_base" / "models" / "net.yaml").write_text(model)
    with pytest.raises(RenderError, match=message):
        render_all(bundles)


def test_what_all_describe_only_one_bundle_needs_to_have(bundles):
    base = bundles / "_base"
    (base / "recipes.yaml").write_text("{cells_net: [flow, cells, net], cells_web: [flow, cells, web]}")
    (base / "models" / "web.yaml").write_text("train: {stages: 4}")
    shared = base / "workflows" / "shared.yaml"
    shared.write_text(shared.read_text().replace("keys:\n", "keys:\n  stages: {description: Depth., type: integer}\n"))
    render_all(bundles)
    assert "stages" not in config(bundles, "train")["_desc_"]
    (base / "models" / "web.yaml").write_text("{}")
    with pytest.raises(RenderError, match=r"workflows/shared\.yaml: keys: stages: no config has this key"):
        render_all(bundles)


@pytest.mark.parametrize("value", ["$torch.device('cpu')", {"_target_": "torch.device"}])
def test_a_default_that_is_computed_is_not_held_to_its_schema(bundles, value):
    (bundles / "_base" / "models" / "net.yaml").write_text(json.dumps({"common": {"device": value}}))
    render_all(bundles)
    assert config(bundles, "train")["device"] == value


@pytest.mark.parametrize("text", [None, "parts: network", "{parts: [network], insde: {}}", "{inside: {}}"])
def test_an_order_of_another_form_is_refused(bundles, text):
    order = bundles / "_base" / "order.yaml"
    order.unlink() if text is None else order.write_text(text)
    with pytest.raises(RenderError, match=r"order\.yaml: (not found|expected)"):
        render_all(bundles)


@pytest.mark.parametrize("seed", range(3))
def test_the_parsed_configs_are_the_same_whatever_the_order(bundles, seed):
    render_all(bundles)
    before = {name: config(bundles, name) for name in ("train", "evaluate", "inference")}
    generator = random.Random(seed)
    parts = ["network", "optimizer", "train", "run"]
    generator.shuffle(parts)
    (bundles / "_base" / "order.yaml").write_text(
        json.dumps({"parts": parts, "inside": {"train": ["handlers", "data"]}})
    )
    render_all(bundles)
    after = {name: config(bundles, name) for name in before}
    assert after == before
    assert [name for name in after["train"] if name in parts] == parts


def test_the_order_names_parts_that_there_are():
    base = ROOT / "bundles" / "_base"
    order = read_order(base)
    configs = [
        rendered
        for recipe in read_recipes(base).values()
        for rendered in render_configs(read_fragments(base, recipe), order).values()
    ]
    assert [name for name in order.parts if not any(name in content for content in configs)] == []
    inside = {name for content in configs for part in order.inside for name in content.get(part, {})}
    assert {name for names in order.inside.values() for name in names} == inside


def test_the_page_of_all_keys_is_rendered_and_checked(bundles, capsys):
    render_all(bundles)
    page = bundles.parent / "docs" / "configuration.md"
    assert "| `epochs` | Number of epochs. | whole number, at least 1 | train | `3` |" in page.read_text()
    page.write_text("")
    assert main(["render", "--bundles", str(bundles), "--check"]) == 1
    assert str(page) in capsys.readouterr().err


def test_rendering_twice_changes_nothing(bundles):
    assert render_all(bundles)
    assert render_all(bundles) == []
    assert list(stale_files(bundles)) == []


def test_check_fails_on_a_config_edited_by_hand(bundles, capsys):
    render_all(bundles)
    assert main(["render", "--bundles", str(bundles), "--check"]) == 0
    edited = bundles / "cells_net" / "configs" / "train.json"
    edited.write_text(edited.read_text().replace("0.5", "0.6"))
    assert main(["render", "--bundles", str(bundles), "--check"]) == 1
    assert str(edited) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "named", "message"),
    [
        ("_base/pairs/cells+nett.yaml", "_base/pairs/cells+nett.yaml", "two names in this order; rename or delete it"),
        ("_base/pairs/net+cells.yaml", "_base/pairs/net+cells.yaml", "two names in this order; rename or delete it"),
        ("old_net/configs/metadata.json", "old_net", "add its row, or delete the folder"),
    ],
)
def test_check_fails_on_what_no_recipe_has_and_names_another_remedy_than_to_render(
    bundles, capsys, file, named, message
):
    render_all(bundles)
    (bundles / file).parent.mkdir(parents=True)
    (bundles / file).write_text("{}")
    assert render_all(bundles) == []
    assert list(stray_files(bundles)) == [bundles / named]
    assert main(["render", "--bundles", str(bundles), "--check"]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"{bundles / named}: ")
    assert message in error
    assert "medseg render" not in error


@pytest.mark.parametrize("fragment", ["train: {optimiser#lr: 1}", "multi_gpu_train: {trainn#sampler: 1}"])
def test_an_override_of_a_missing_parent_is_refused(bundles, fragment, capsys):
    (bundles / "_base" / "models" / "net.yaml").write_text(fragment)
    assert main(["render", "--bundles", str(bundles)]) == 2
    assert "models/net.yaml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("recipes.yaml", "cells_net: [flow, cells]", "expected \\[workflow, data set, model\\]"),
        ("recipes.yaml", "cells_net: [flow, cells, absent]", "absent.yaml"),
        ("models/net.yaml", "trian: {a: 1}", "unknown section"),
        ("models/net.yaml", "train: {a: 1", r"net\.yaml: is no YAML.* line 1"),
        ("models/net.yaml", "train: {run: {_copy_of_: a}}", "train: run: copies 'a', which no fragment has"),
        ("models/net.yaml", "train: 2020-13-45", r"net\.yaml: is no YAML.*month"),
        ("models/net.yaml", "# nothing yet", r"net\.yaml: expected keys with values, got nothing"),
        ("models/net.yaml", "train: [a]", r"net\.yaml: train: expected keys with values, got \['a'\]"),
        ("recipes.yaml", "cells_net: [flow", r"recipes\.yaml: is no YAML"),
        ("recipes.yaml", "", r"recipes\.yaml: expected keys with values, got nothing"),
    ],
)
def test_a_broken_fragment_is_named(bundles, capsys, file, text, message):
    (bundles / "_base" / file).write_text(text)
    with pytest.raises(RenderError, match=message) as raised:
        render_all(bundles)
    assert main(["render", "--bundles", str(bundles)]) == 2
    assert capsys.readouterr().err == f"error: {raised.value}\n"  # one line
    assert "unicode string" not in str(raised.value)


def test_merging_does_not_change_the_layers():
    base = {"a": {"b": 1}}
    merge_fragments([("base", base), ("over", {"a#b": 2})])
    assert base == {"a": {"b": 1}}
