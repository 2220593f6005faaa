import json

import pytest

from medseg_ext.runs.provenance import Provenance
from medseg_ext.runs.trained_on import TrainedOn, read_trained_on


def data_set(folder, name, **more):
    folder.mkdir()
    (folder / "dataset.json").write_text(json.dumps({"name": name, "training": [], **more}))
    return folder


@pytest.fixture
def training(tmp_path):
    data = data_set(tmp_path / "mine", "Mine")
    settings = {"bundle_root": str(tmp_path), "dataset_dir": str(data), "output_dir": str(tmp_path / "run")}
    Provenance("train", settings, tmp_path, tmp_path / "run", data).write()
    return tmp_path / "run"


def test_data_are_those_of_the_training_if_their_list_is_the_same_whatever_their_folder(training, tmp_path):
    for folder, name, more, is_evaluated in (
        ("moved", "Mine", {}, True),
        ("later", "Mine", {"seed": 1}, False),  # of one name, with another split
        ("other", "Other", {}, False),
    ):
        data = data_set(tmp_path / folder, name, **more)
        found = read_trained_on(training, None, dataset_dir=data, data_set=name)
        assert found == TrainedOn("Mine", is_evaluated)


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"data_set": "DSB2018"}, "DSB2018"),
        ({"data_set": "DSB2018", "weights": {"data_set": {"name": "Mine"}}}, "Mine"),  # as `medseg ship` leaves it
        ({"data_set": "DSB2018", "weights": {"data_set": None}}, ""),
        ({}, ""),
    ],
)
def test_weights_of_a_bundle_are_of_the_data_that_its_metadata_name(tmp_path, metadata, name):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "metadata.json").write_text(json.dumps(metadata))
    found = read_trained_on(tmp_path / "models", tmp_path, dataset_dir=None, data_set="DSB2018")
    assert found == TrainedOn(name, name == "DSB2018")
    assert read_trained_on(tmp_path / "run", tmp_path, dataset_dir=None, data_set="DSB2018") == TrainedOn()


def test_a_broken_record_is_told_and_loses_no_evaluation(training, tmp_path, caplog):
    (training / "provenance_train.json").write_text("{")
    assert read_trained_on(training, None, dataset_dir=None, data_set="Mine") == TrainedOn()
    assert "provenance_train.json is broken" in caplog.text
