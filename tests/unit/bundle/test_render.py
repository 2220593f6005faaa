import json

import pytest

from medseg_ext.bundle import RenderError, merge_fragments, render_all, stale_files, stray_files
from medseg_ext.cli import main

WORKFLOW = """
common: {network: {channels: 8}, device: cpu}
train: {optimizer: {lr: 0.1, decay: 0.2}, run: [go]}
multi_gpu_train: {optimizer#lr: 0.3}
metadata: {version: 1}
"""


@pytest.fixture
def bundles(tmp_path):
    """A small tree of fragments: what is shared, one workflow, one data set, one model."""
    base = tmp_path / "bundles" / "_base"
    for name, text in {
        "recipes.yaml": "cells_net: [flow, cells, net]",
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
