import json

import pytest
import torch
from compare_cases import UNET, evaluate
from monai.apps.utils import HashCheckError
from monai.bundle import download_large_files
from training_records import NO_FILE, write_record

from medseg_ext.bundle.ship import ship_weights, to_half_precision, write_large_files
from medseg_ext.cli.main import main
from medseg_ext.errors import DataError
from medseg_ext.metrics import ScoreCalibration
from medseg_ext.objects.training_images import MEASURES, TrainingImages
from medseg_ext.runs.provenance import describe_file


@pytest.fixture
def bundle(tmp_path):
    configs = tmp_path / "bundle" / "configs"
    configs.mkdir(parents=True)
    network = {"_target_": "torch.nn.BatchNorm2d", "num_features": 4}
    (configs / "inference.json").write_text(json.dumps({"network_def": network, "title": "Theirs", "class_names": []}))
    metadata = {
        "name": "Net",
        "description": "A net.",
        "intended_use": "Research.",
        "references": [],
        "kinds": {"a": "b"},
        "data_set": "Theirs",
        "data_set_doi": "10.1/theirs",
        "weights_license": "Apache-2.0",
    }
    (configs / "metadata.json").write_text(json.dumps(metadata | {"data_source": "Their images, AP 0.99"}))
    return tmp_path / "bundle"


def training(folder, **further: object):
    """Make what a training leaves: weights and the record of what they come from."""
    told = {"name": "Own images", "licence": "CC0", "images": {"training": 7, "validation": 2}}
    write_record(folder, settings={"max_epochs": 6}, **{"data_set": NO_FILE | told, **further})
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), folder / "model.pt")
    return folder / "model.pt"


def claims_of(bundle) -> str:
    """Give all texts of a bundle in one."""
    files = [*sorted((bundle / "docs").glob("*.*")), bundle / "configs" / "metadata.json", bundle / "large_files.yml"]
    return "\n".join(file.read_text() for file in files if file.suffix != ".png")


def test_a_bundle_tells_of_its_weights_and_nothing_of_others(bundle, tmp_path):
    docs = bundle / "docs"
    docs.mkdir()
    (docs / "README.md").write_text("On their test images the AP is 0.99.")
    (docs / "data_license.txt").write_text("Data: Theirs. The weights in models/ were trained on these images.")
    for name in ("samples.png", "worst_images.png", "training_log.md"):
        (docs / name).touch()
    assert main(["ship", str(training(tmp_path / "run")), str(bundle)]) == 0
    told = claims_of(bundle)
    assert "Theirs" not in told
    assert "0.99" not in told
    assert {path.name for path in docs.iterdir()} == {"README.md", "data_license.txt"}
    assert "Trained on: Own images (licence: CC0), 7 images to train, 2 to validate." in told
    assert "started from scratch" in told
    assert "- `max_epochs`: 6" in told
    assert json.loads((bundle / "configs" / "inference.json").read_text())["title"] == "Own images"
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["data_set"] == "Own images"
    assert not {"data_set_doi", "weights_license"} & set(metadata)


def test_what_comes_from_the_former_weights_keeps_their_licence(bundle, tmp_path):
    ship_weights(training(tmp_path / "first"), bundle)
    (bundle / "docs" / "data_license.txt").write_text("Licence: CC BY-NC-SA")
    former = describe_file(bundle / "models" / "model.pt")
    ship_weights(training(tmp_path / "second", weights=former), bundle)
    licence = (bundle / "docs" / "data_license.txt").read_text()
    assert (
        "those that this bundle had before, whose licence holds for what comes from them, too:\n\n    Licence: CC"
        in licence
    )
    assert licence.startswith("Data: Own images.\nLicence: CC0\n")
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["weights"]["started_from"] == former["sha256"]


def test_a_start_that_was_kept_is_not_said_to_be_trained_on_the_data(bundle, tmp_path):
    """No epoch was better: these are the weights that the training started from, whatever images it saw."""
    ship_weights(training(tmp_path / "first"), bundle)
    own = describe_file(bundle / "models" / "model.pt")
    for folder, start in (("same", own), ("other", own | {"sha256": "f"})):
        weights = training(tmp_path / folder, weights=start)
        torch.save({"best_model": {"best": {"epoch": 0, "pq": 0.5}}}, tmp_path / folder / "checkpoint.pt")
        if folder == "same":
            with pytest.raises(
                DataError, match="is what the bundle has already, as no epoch of the training was better"
            ):
                ship_weights(weights, bundle)
        else:
            ship_weights(weights, bundle)
    told = claims_of(bundle)
    assert "that a training on Own images started from, as no epoch was better" in told
    assert "Trained on" not in told
    assert json.loads((bundle / "configs" / "metadata.json").read_text())["data_source"] == "not known"


def test_weights_of_which_nothing_tells_are_not_said_to_come_from_anything(bundle, tmp_path):
    weights = training(tmp_path / "run")
    (tmp_path / "run" / "provenance_train.json").unlink()
    ship_weights(weights, bundle)
    told = claims_of(bundle)
    assert "What they were trained on is not known" in told
    assert "were trained on these images" not in told


def test_a_copy_gets_the_weights_and_the_bundle_keeps_its_own(bundle, tmp_path, capsys):
    ship_weights(training(tmp_path / "first"), bundle)
    before = claims_of(bundle), describe_file(bundle / "models" / "model.pt")
    copy, words = tmp_path / "copies" / "mine", ["ship", str(training(tmp_path / "run", weights=before[1]))]
    assert main([*words, str(copy), "--from", str(bundle), "--authors", "A. Smith"]) == 0
    assert (claims_of(bundle), describe_file(bundle / "models" / "model.pt")) == before
    metadata = json.loads((copy / "configs" / "metadata.json").read_text())
    assert (metadata["authors"], metadata["copyright"]) == ("A. Smith", "Copyright (c) A. Smith")
    for file in ("README.md", "data_license.txt"):
        assert f"started from the weights of the bundle {'`bundle`' if file == 'README.md' else 'bundle'}" in (
            copy / "docs" / file
        ).read_text().replace("\n", " ")
    capsys.readouterr()
    assert main([*words, str(copy), "--from", str(bundle)]) == 2
    assert f"{copy} exists already" in capsys.readouterr().err
    assert main([*words[:1], str(tmp_path / "none.pt"), str(tmp_path / "no" / "copy"), "--from", str(bundle)]) == 2
    assert not (tmp_path / "no").exists()


def test_what_is_told_of_files_is_how_they_are_in_the_end(bundle, tmp_path, capsys):
    """Pictures of the former weights give way to those of the evaluation."""
    (bundle / "docs").mkdir()
    for name in ("samples.png", "training_log.md"):
        (bundle / "docs" / name).touch()
    classes = {"class_names": ["background", "nucleus"]}
    for name in ("evaluate", "inference"):
        file = bundle / "configs" / f"{name}.json"
        file.write_text(json.dumps((json.loads(file.read_text()) if file.is_file() else {}) | classes))
    weights = training(tmp_path / "run")
    told = {"model": "Net", "data_set": "Own images", "kind": "", "groups": {"a": "x", "b": "x"}}
    evaluation = evaluate(tmp_path / "evaluation", UNET, **told)
    write_record(evaluation, workflow="evaluate", settings={}, weights=describe_file(weights))
    assert main(["ship", str(weights), str(bundle), "--evaluation", str(evaluation)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len({line.partition(":")[0] for line in lines})
    for path, _, told in (line.partition(": ") for line in lines):
        assert (bundle / path).exists() is not told.startswith("removed")
    assert "Measured on 4 test images of 3 groups, of Own images." in (bundle / "docs" / "README.md").read_text()


def test_no_maintainer_is_named_for_the_weights_of_others(bundle, tmp_path):
    file = bundle / "configs" / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"authors": "The medseg_ext maintainers"}))
    for folder, authors, named in (("a", None, "not stated"), ("b", "B. Jones", "B. Jones"), ("c", None, "B. Jones")):
        ship_weights(training(tmp_path / folder), bundle, authors=authors)
        assert json.loads(file.read_text())["authors"] == named
    card = (bundle / "docs" / "README.md").read_text()
    assert card.index("## When not to use it") < card.index("## Model overview")


def test_an_evaluation_of_other_weights_is_refused_and_nothing_is_written(bundle, tmp_path):
    weights, evaluation = training(tmp_path / "run"), tmp_path / "evaluation"
    write_record(evaluation, workflow="evaluate", settings={}, weights=NO_FILE | {"path": "other.pt", "sha256": "f"})
    with pytest.raises(DataError, match=r"is an evaluation of other\.pt, and not of .*model\.pt: evaluate these"):
        ship_weights(weights, bundle, evaluation=evaluation)
    assert not (bundle / "models").exists()


def test_shipped_weights_are_half_as_large_and_load_as_before(bundle, tmp_path):
    network = torch.nn.BatchNorm2d(4)
    torch.nn.init.normal_(network.weight)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    ship_weights(tmp_path / "model.pt", bundle)
    shipped = torch.load(bundle / "models" / "model.pt", weights_only=True)
    assert shipped["weight"].dtype == torch.float16
    assert shipped["num_batches_tracked"].dtype == torch.int64
    fresh = torch.nn.BatchNorm2d(4)
    fresh.load_state_dict(shipped)
    torch.testing.assert_close(fresh.weight, network.weight, rtol=1e-3, atol=0)


def test_weights_of_another_network_are_refused_and_nothing_is_written(bundle, tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "model.pt")
    with pytest.raises(DataError, match=r"model\.pt: .*another architecture.*; give the model\.pt"):
        ship_weights(tmp_path / "model.pt", bundle)
    assert not (bundle / "models" / "model.pt").exists()


def test_values_beyond_float16_are_refused_by_name():
    with pytest.raises(ValueError, match="running_var"):
        to_half_precision({"running_var": torch.tensor([1e6])})


def test_the_state_of_a_training_is_no_weights(bundle, tmp_path):
    torch.save({"network": {}, "optimizer": {}, "trainer": {"epoch": 3}}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match=r"checkpoint\.pt: is the state of a training; give model\.pt beside it"):
        ship_weights(tmp_path / "checkpoint.pt", bundle)


def test_monai_takes_the_shipped_weights_and_refuses_them_with_a_byte_changed(bundle, tmp_path):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    ship_weights(tmp_path / "model.pt", bundle)
    download_large_files(str(bundle))
    content = bytearray((bundle / "models" / "model.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / "models" / "model.pt").write_bytes(content)
    with pytest.raises(HashCheckError, match=r"model\.pt"):
        download_large_files(str(bundle))


def test_a_bundle_without_weights_has_no_hash(bundle):
    with pytest.raises(DataError, match=r"model\.pt"):
        write_large_files(bundle)
    assert not (bundle / "large_files.yml").exists()


@pytest.mark.parametrize("content", [None, b"", b"no weights at all", b"PK not weights"])
def test_what_cannot_be_read_ends_in_one_line_that_names_the_file_and_the_remedy(bundle, tmp_path, capsys, content):
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    assert main(["ship", str(path), str(bundle)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path}")
    assert error.endswith("; give the model.pt of the output_dir of a training of this bundle\n")
    assert not (bundle / "models").exists()


@pytest.mark.parametrize("present", [["iou_curve.csv", "iou_curve.png"], ["iou_curve.csv"], []])
def test_the_curve_in_docs_is_that_of_the_shipped_weights_or_none(bundle, tmp_path, capsys, present):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    docs = bundle / "docs"
    docs.mkdir()
    for name in ("iou_curve.csv", "iou_curve.png", "README.md"):
        (docs / name).write_text("older")
    for name in present:
        (tmp_path / name).write_text("own")
    assert main(["ship", str(tmp_path / "model.pt"), str(bundle)]) == 0
    curves = {path.name: path.read_text() for path in docs.glob("iou_curve.*")}
    assert curves == dict.fromkeys(present, "own")
    lines = capsys.readouterr().out.splitlines()
    written = [bundle / "models" / "model.pt", bundle / "large_files.yml", *(docs / name for name in present)]
    assert lines[: len(written)] == [str(path) for path in written]
    removed = [name for name in ("iou_curve.csv", "iou_curve.png") if name not in present]
    told = [line.partition(", ")[0] for line in lines if ": removed" in line]
    assert told == [f"{docs / name}: removed" for name in removed]


@pytest.mark.parametrize("count", [None, 4, 40])
def test_what_is_known_of_the_training_images_is_that_of_the_shipped_weights_or_none(bundle, tmp_path, count):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    (bundle / "models").mkdir()
    shipped, own = bundle / "models" / "training_images.json", tmp_path / "training_images.json"
    shipped.write_text("older")
    if count:
        rows = [dict.fromkeys(MEASURES, float(place)) for place in range(count)]
        TrainingImages.of(rows, rows[:2]).write(own)
    ship_weights(tmp_path / "model.pt", bundle)
    assert (shipped.read_text() if shipped.is_file() else None) == (own.read_text() if count else None)
    card = (bundle / "docs" / "README.md").read_text()
    assert ("An image that is far" in card, "no image gets a remark" in card) == (count == 40, count != 40)


@pytest.mark.parametrize("is_there", [True, False])
def test_the_calibration_of_scores_is_that_of_the_shipped_weights_or_none(bundle, tmp_path, is_there):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    files = [bundle / "configs" / f"{name}.json" for name in ("evaluate", "inference")]
    former = {"score_temperature": 1.4, "score_bias": -0.5}
    files[0].write_text(json.dumps(former))
    files[1].write_text(json.dumps(json.loads(files[1].read_text()) | former))
    if is_there:
        ScoreCalibration(2.0, 0.25).write(tmp_path, objects=300)
    ship_weights(tmp_path / "model.pt", bundle)
    for file in files:
        config = json.loads(file.read_text())
        assert (config["score_temperature"], config["score_bias"]) == ((2.0, 0.25) if is_there else (1.0, 0.0))


def test_the_weights_that_a_bundle_has_are_refused_and_its_curve_stays(bundle, tmp_path):
    torch.save(torch.nn.BatchNorm2d(4).state_dict(), tmp_path / "model.pt")
    (tmp_path / "iou_curve.csv").write_text("epoch")
    ship_weights(tmp_path / "model.pt", bundle)
    with pytest.raises(DataError, match="is what the bundle has already"):
        ship_weights(bundle / "models" / "model.pt", bundle)
    assert (bundle / "docs" / "iou_curve.csv").is_file()
