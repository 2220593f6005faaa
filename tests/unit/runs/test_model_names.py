import logging
import random
from collections import defaultdict

import pytest

from medseg_ext.errors import DataError
from medseg_ext.runs.model_names import name_models
from medseg_ext.runs.provenance import Provenance
from medseg_ext.runs.run_folder import EvaluatedRun


@pytest.fixture
def evaluated(tmp_path):
    """Gives runs of no images, which keep a record of their weights if the content of these is given."""

    def make(name, data_set, weights=None, *, checkpoint=None, model="U-Net"):
        (folder := tmp_path / name).mkdir(parents=True)
        if weights is not None:
            (file := folder / "model.pt").write_bytes(weights)
            places = {"bundle_root": "unet", "output_dir": str(folder), "dataset_dir": "data"}
            Provenance("evaluate", settings=places, ckpt_path=str(file), **places).write()
        facts = {"checkpoint": checkpoint} if checkpoint else {}
        return EvaluatedRun(folder, model, data_set, ["background", "nucleus"], facts, [], [], [], [], {})

    return make


def who_share_a_name(runs):
    """The names of the folders of runs that have one name."""
    shared = defaultdict(set)
    for name, run in zip(name_models(runs), runs, strict=True):
        shared[name].add(run.folder.name)
    return sorted(sorted(names) for names in shared.values())


def test_one_name_is_one_model_whatever_the_order_and_the_number_of_data_sets(evaluated):
    runs = {
        f"{data_set}_{weights}": evaluated(f"{data_set}/{data_set}_{weights}", data_set, weights.encode())
        for data_set in "ABC"
        for weights in ("shipped", "mine", "yours")
        if (data_set, weights) != ("B", "yours")
    }
    for seed in range(20):
        chosen = random.Random(seed).sample(sorted(runs), k=1 + seed % len(runs))
        expected = defaultdict(list)
        for name in sorted(chosen):
            expected[name[2:]].append(name)
        assert who_share_a_name([runs[name] for name in chosen]) == sorted(expected.values())


def test_other_weights_on_other_data_are_told_apart_by_their_folders(evaluated):
    runs = [evaluated("shipped", "A", b"shipped"), evaluated("mine/evaluation", "B", b"mine")]
    assert name_models(runs) == ["U-Net (shipped)", "U-Net (evaluation)"]
    assert name_models(runs[:1]) == ["U-Net"]


def test_the_same_weights_have_one_name_though_the_bundle_is_renamed(evaluated):
    runs = [evaluated("first", "A", b"same"), evaluated("second", "B", b"same", model="Renamed")]
    assert name_models(runs) == ["U-Net", "U-Net"]


def test_runs_without_a_hash_are_told_by_the_file_of_their_weights(evaluated):
    runs = [
        evaluated("a", "A", b"shipped", checkpoint="shipped.pt"),
        evaluated("b", "B", checkpoint="./shipped.pt"),
        evaluated("c", "C", checkpoint="mine.pt"),
        evaluated("d", "A", checkpoint="mine.pt"),
        evaluated("e", "B", checkpoint="mine.pt", model="SegFormer"),
    ]
    for order in (runs, runs[::-1]):
        assert who_share_a_name(order) == [["a", "b"], ["c", "d"], ["e"]]


def test_a_file_that_held_several_weights_tells_nothing(evaluated):
    contents = {"a": b"before", "b": b"after", "c": None, "d": None}
    runs = [evaluated(name, name, content, checkpoint="model.pt") for name, content in contents.items()]
    for order in (runs, runs[::-1]):
        assert who_share_a_name(order) == [["a"], ["b"], ["c"], ["d"]]


def test_runs_of_which_nothing_tells_the_weights_share_no_name(evaluated):
    assert who_share_a_name([evaluated("a", "A"), evaluated("b", "B"), evaluated("c", "C", b"x")]) == [
        ["a"],
        ["b"],
        ["c"],
    ]


def test_runs_of_the_same_weights_on_one_data_set_have_a_name_each(evaluated):
    runs = [evaluated(name, data_set, b"same") for name, data_set in (("a", "A"), ("b", "A"), ("c", "B"))]
    assert name_models(runs) == ["U-Net (a)", "U-Net (b)", "U-Net (c)"]


def test_a_broken_record_is_named_and_the_file_of_the_weights_tells(evaluated, caplog):
    runs = [evaluated(name, name, b"same", checkpoint="model.pt") for name in "ab"]
    (runs[1].folder / "provenance_evaluate.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert name_models(runs) == ["U-Net", "U-Net"]
    assert "provenance_evaluate.json is broken" in caplog.text


def test_a_model_that_is_called_as_another_one_would_be_is_refused(evaluated):
    runs = [evaluated("a", "A", b"1"), evaluated("b", "B", b"2"), evaluated("c", "C", b"3", model="U-Net (a)")]
    with pytest.raises(DataError, match=r"called U-Net \(a\): name each run with --names"):
        name_models(runs)
