"""Comparison of all configs: what is a difference, and what is none."""

import doctest
import json
import subprocess
import sys

import pytest
from bundle_settings import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import compare_configs

CONFIG = {"lr": 0.1, "network": {"_target_": "old.Net", "widths": [8, 16]}, "run": ["$go()"]}


@pytest.fixture
def write(tmp_path):
    """Write configs of the bundle `cells_net` into a folder."""

    def write_folder(name, **configs):
        for config, content in configs.items():
            path = tmp_path / name / "bundles" / "cells_net" / "configs" / f"{config}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
        return str(tmp_path / name)

    return write_folder


def test_order_and_descriptions_make_no_difference(write, capsys):
    turned = {"_desc_": {"lr": {"description": "Rate."}}, **dict(reversed(CONFIG.items()))}
    assert compare_configs.main([write("old", train=CONFIG), write("new", train=turned)]) == 0
    assert capsys.readouterr().out == "1 configs say the same\n"


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"lr": 0.2}, "lr: 0.1 -> 0.2"),
        ({"lr": "0.1"}, 'lr: 0.1 -> "0.1"'),
        ({"run": ["$go()", "$on()"]}, 'run#1: nothing -> "$on()"'),
        ({"network": {"_target_": "old.Net", "widths": [8, 32]}}, "network#widths#1: 16 -> 32"),
        ({"network": {"_target_": "new.Net", "widths": [8, 16]}}, 'network#_target_: "old.Net" -> "new.Net"'),
        ({"seed": None}, "seed: nothing -> null"),
    ],
)
def test_a_planted_difference_is_found(write, capsys, changed, line):
    assert compare_configs.main([write("old", train=CONFIG), write("new", train=CONFIG | changed)]) == 1
    assert capsys.readouterr().out == f"cells_net/train.json: {line}\n"


def test_true_is_not_1(write):
    assert compare_configs.main([write("old", train={"amp": True}), write("new", train={"amp": 1})]) == 1


def test_a_file_that_is_missing_is_a_difference(write, capsys):
    assert compare_configs.main([write("old", train=CONFIG, evaluate=CONFIG), write("new", train=CONFIG)]) == 1
    assert capsys.readouterr().out == "cells_net/evaluate.json: file -> no such file\n"


def test_a_renamed_target_is_no_difference(write, tmp_path):
    network = {"_target_": "new.Net", "widths": [8, 16]}
    folders = [write("old", train=CONFIG), write("new", train=CONFIG | {"network": network})]
    table = tmp_path / "renamed.txt"
    table.write_text("# of this release\n\nold.Net: new.Net  # it moved\n")
    assert compare_configs.main([*folders, "--renamed", str(table)]) == 0
    assert compare_configs.main(folders) == 1


@pytest.mark.parametrize("text", ["old.Net", "old.Net:", ": new.Net"])
def test_a_broken_table_is_refused_by_its_line(write, tmp_path, capsys, text):
    table = tmp_path / "renamed.txt"
    table.write_text(text)
    assert compare_configs.main([write("old", train=CONFIG), ".", "--renamed", str(table)]) == 2
    assert "renamed.txt: line 1: expected old.name: new.name" in capsys.readouterr().err


def test_a_revision_is_compared_with_the_working_tree(write, tmp_path, monkeypatch, capsys):
    folder = write("old", train=CONFIG)
    monkeypatch.chdir(folder)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run(["git", *identity, *words], check=True)
    assert compare_configs.main(["HEAD"]) == 0
    write("old", train=CONFIG | {"lr": 1})
    assert compare_configs.main(["HEAD"]) == 1
    assert "cells_net/train.json: lr: 0.1 -> 1" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["no-such-revision", "empty"])
def test_a_place_without_bundles_is_refused(tmp_path, monkeypatch, capsys, place):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert compare_configs.main([place]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_examples_hold():
    assert doctest.testmod(compare_configs).failed == 0
