import hashlib
import json
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from medseg_ext.errors import DataError
from medseg_ext.runs import provenance
from medseg_ext.runs.provenance import (
    Provenance,
    changes_since,
    describe_file,
    read_provenance,
    repeatable_settings,
)


@pytest.fixture
def run(tmp_path, monkeypatch) -> Provenance:
    """A training on a data set folder, from weights, of a bundle; all named from the working directory."""
    for path, content in {
        "data #2/dataset.json": "{}", "a bundle/configs/train.json": "{}", "weights.pt": "w", "mit-b0/config.json": "",
    }.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    monkeypatch.chdir(tmp_path)
    settings = {
        "seed": 3, "output_dir": "run", "dataset_dir": "data #2", "bundle_root": "a bundle", "device": "cpu",
        "ckpt_path": "weights.pt", "encoder_weights": "mit-b0", "title": "Plate #2",
    }  # fmt: skip
    return Provenance(
        "train", settings=settings, given={"dataset_dir": "data #2", "decoder#min_area_px": 9}, config_files=[],
        bundle_root="a bundle", output_dir="run", dataset_dir="data #2", ckpt_path="weights.pt",
    )  # fmt: skip


def changes(tmp_path) -> list[str]:
    return changes_since(read_provenance(tmp_path / "run"), tmp_path / "a bundle", "cpu")


def test_a_run_tells_settings_data_weights_versions_and_machine(run, tmp_path):
    run.write()
    record = read_provenance(tmp_path / "run")
    assert record["settings"] == {
        "seed": 3, "output_dir": str(tmp_path / "run"), "dataset_dir": str(tmp_path / "data #2"), "device": "cpu",
        "bundle_root": str(tmp_path / "a bundle"), "ckpt_path": str(tmp_path / "weights.pt"),
        "encoder_weights": str(tmp_path / "mit-b0"), "title": "Plate #2",
    }  # fmt: skip
    assert record["given"] == {"dataset_dir": str(tmp_path / "data #2"), "decoder#min_area_px": 9}
    assert record["weights"]["sha256"] == hashlib.sha256(b"w").hexdigest()
    assert record["data_set"]["path"] == str(tmp_path / "data #2" / "dataset.json")
    assert {"python", "medseg_ext", "torch", "monai", "ignite", "numpy"} <= record["versions"].keys()
    assert record["machine"]["processes"] == 1
    assert changes(tmp_path) == []


def test_the_engine_that_ran_is_told_though_another_one_was_to_run(run, tmp_path):
    inferer = SimpleNamespace(engine_used=("openvino", "float32"))
    inference = replace(run, workflow="inference", inferer=inferer)
    inference.write()
    (engine,) = read_provenance(tmp_path / "run")["engines"]
    assert engine == {"name": "openvino", "version": provenance.versions()["openvino"], "precision": "float32"}
    inferer.engine_used = ("torch", "bfloat16 and float32")
    inference.note_engine()
    (engine,) = read_provenance(tmp_path / "run")["engines"]
    assert (engine["name"], engine["version"]) == ("torch", provenance.versions()["torch"])
    run.write()
    run.note_engine()  # a training has none
    assert read_provenance(tmp_path / "run", "train")["engines"] == []


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ("data #2/dataset.json", "data set"),
        ("weights.pt", "weights"),
        ("a bundle/configs/train.json", "config"),
    ],
)
def test_what_has_changed_since_is_named(run, tmp_path, file, what):
    run.write()
    (tmp_path / file).write_text("others")
    assert changes(tmp_path) == [f"{what}: {tmp_path / file} is another"]
    (tmp_path / file).unlink()
    assert changes(tmp_path) == [f"{what}: {tmp_path / file} is gone"]


def test_other_versions_and_numbers_of_processes_are_named(run, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    run.write()
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setattr(provenance, "version", lambda package: "0.0")
    told = "\n".join(changes(tmp_path))
    assert "torch is 0.0, and was " in told
    assert "processes is 1, and was 2" in told


def test_what_cannot_be_repeated_is_named(run, tmp_path):
    replace(run, settings={**run.settings, "seed": None}, given=None).write()
    assert changes(tmp_path) == [
        "seed is null, which takes another one every time",
        "it was started in Python, and parts of the config that were changed there are not known",
    ]


def test_a_run_that_goes_on_keeps_what_was_before(run, tmp_path):
    run.write()
    for seed in (4, 5):
        replace(run, settings={**run.settings, "seed": seed, "ckpt_path": None}, ckpt_path=None).write(goes_on=True)
    record = read_provenance(tmp_path / "run")
    assert (record["seed"], [each["seed"] for each in record["earlier"]]) == (5, [3, 4])
    assert changes(tmp_path) == [f"seed was {seed} before the run was gone on with" for seed in (3, 4)]
    settings = repeatable_settings(record)
    assert (settings["seed"], settings["ckpt_path"]) == (5, str(tmp_path / "weights.pt"))  # which it began with
    run.write()
    assert "earlier" not in read_provenance(tmp_path / "run")


def test_a_run_goes_on_where_what_was_before_is_broken(run, tmp_path, caplog):
    run.write()
    (tmp_path / "run" / "provenance_train.json").write_text("{")
    run.write(goes_on=True)
    assert read_provenance(tmp_path / "run")["seed"] == 3
    assert "provenance_train.json is broken" in caplog.text


def test_only_the_first_process_writes(run, tmp_path, monkeypatch):
    monkeypatch.setattr("medseg_ext.processes.process_rank", lambda: 1)
    run.write()
    assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_tell_says_why(run, tmp_path):
    with pytest.raises(DataError, match=r"run has no provenance_train.json and no .*: give the folder of a run"):
        read_provenance(tmp_path / "run")
    run.write()
    file = tmp_path / "run" / "provenance_train.json"
    (tmp_path / "run" / "provenance_evaluate.json").write_text(file.read_text())
    with pytest.raises(DataError, match="holds several runs: say which by --workflow, train or evaluate"):
        read_provenance(tmp_path / "run")
    assert read_provenance(tmp_path / "run", "train")["workflow"] == "train"


def test_every_damage_is_told_in_one_line_that_names_the_file(run, tmp_path):
    run.write()
    file = tmp_path / "run" / "provenance_train.json"
    whole = file.read_text()
    record = json.loads(whole)
    read = record.keys() - {"commit", "engines"}  # which people alone read
    damaged = [json.dumps({name: value for name, value in record.items() if name != key}) for key in read]
    damaged += [json.dumps(record | {key: 5.5}) for key in (*read, "earlier")]
    damaged += ["", "[]", "null", "5", "\xff", *(whole[:size] for size in range(1, len(whole) - 2, 97))]
    damaged += [json.dumps(record | {"settings": {}}), json.dumps(record | {"weights": {"path": "x"}})]
    for content in damaged:
        file.write_text(content, encoding="latin-1")
        with pytest.raises(
            DataError, match=r"provenance_train\.json (is broken|has the format 5.5, expected 1)"
        ) as error:
            read_provenance(tmp_path / "run")
        assert "\n" not in str(error.value)


def test_large_weights_are_told_apart_and_cost_no_time(run, tmp_path):
    file = tmp_path / "weights.pt"
    with file.open("wb") as stream:
        stream.truncate(8 * 2**30)  # takes no room on the disk
    start = time.process_time()
    before = describe_file(file)
    assert time.process_time() - start < 1  # 32 MB on a slow machine; 8 GB take several
    with file.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"1")
    assert describe_file(file) != before


def test_the_commit_is_that_of_the_source_and_of_no_project_around_it(tmp_path, monkeypatch):
    commit = provenance.find_commit()
    assert commit is None or len(commit.removesuffix("-dirty")) == 40
    (tmp_path / "medseg_ext").mkdir()
    (tmp_path / "medseg_ext" / "__init__.py").touch()
    monkeypatch.setattr(provenance.medseg_ext, "__file__", str(tmp_path / "medseg_ext" / "__init__.py"))
    assert provenance.find_commit() is None
