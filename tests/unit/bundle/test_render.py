import json

import pytest

from medseg_ext.bundle import RenderError, merge_fragments, render_all, stale_files
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


def test_check_fails_on_a_pair_that_no_recipe_has(bundles):
    render_all(bundles)
    stray = bundles / "_base" / "pairs" / "cells+nett.yaml"
    stray.parent.mkdir()
    stray.write_text("train: {optimizer#lr: 0.7}")
    assert list(stale_files(bundles)) == [stray]


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


def test_check_fails_on_a_bundle_without_a_recipe(bundles):
    render_all(bundles)
    orphan = bundles / "old_net" / "configs" / "metadata.json"
    orphan.parent.mkdir(parents=True)
    orphan.write_text("{}")
    assert list(stale_files(bundles)) == [orphan]


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
    ],
)
def test_a_broken_fragment_is_named(bundles, file, text, message):
    (bundles / "_base" / file).write_text(text)
    with pytest.raises(RenderError, match=message):
        render_all(bundles)


def test_merging_does_not_change_the_layers():
    base = {"a": {"b": 1}}
    merge_fragments([("base", base), ("over", {"a#b": 2})])
    assert base == {"a": {"b": 1}}
