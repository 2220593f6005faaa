"""What a training on data of one's own starts from, and with which settings."""

import json
import shutil

import numpy as np
import pytest
import torch
from bundle_settings import BUNDLES, ROOT
from PIL import Image
from training_records import write_record

from medseg_ext.bundle.fine_tuning import fine_tuning_settings, plan_training
from medseg_ext.bundle.trained_settings import plan_for_weights
from medseg_ext.errors import DataError
from medseg_ext.metrics import ScoreCalibration

UNET = ROOT / "bundles" / "dsb2018_unet"


def data_set(folder, *, n_images: int = 3, class_names=("background", "nucleus"), **further: object):
    folder.mkdir(parents=True)
    content = {"class_names": list(class_names), "training": [{}] * n_images, **further}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_a_training_starts_from_the_shipped_weights_and_says_so(bundle, tmp_path):
    names = json.loads((bundle / "configs" / "train.json").read_text())["class_names"]
    plan = plan_training(bundle, {}, data=data_set(tmp_path / "data", class_names=names), output=tmp_path)
    assert plan.settings == {"ckpt_path": str(bundle / "models" / "model.pt"), **fine_tuning_settings(3)}
    own = json.loads((bundle / "configs" / "train.json").read_text())["keep_cut_objects"]
    *of_borders, start, settings = plan.lines
    assert [line.endswith("too few to tell (--keep_cut_objects True)") for line in of_borders] == [True] * (not own)
    assert start.startswith(f"start: the shipped weights, {bundle}/models/model.pt, validated first")
    assert settings.startswith("for 3 training images: learning_rate ")


def test_what_is_given_goes_before_what_is_planned(tmp_path):
    given = {"learning_rate": 0.1, "class_names": ["background", "cell"], "title": "mine"}
    data = data_set(tmp_path / "data", name="theirs")
    assert not plan_training(UNET, given, data=data, output=tmp_path).settings.keys() & given.keys()


@pytest.mark.parametrize(("start", "given"), [("scratch", {}), (None, {"ckpt_path": None})])
def test_from_scratch_the_settings_are_those_of_the_config(tmp_path, start, given):
    plan = plan_training(UNET, given, data=data_set(tmp_path / "data"), output=tmp_path, start=start)
    assert (plan.settings, plan.lines) == ({}, ["start: from scratch"])


def test_classes_come_from_the_data(tmp_path):
    data = data_set(tmp_path / "data", class_names=["background", "cytoplasm", "nucleus"])
    plan = plan_training(UNET, {}, data=data, output=tmp_path)
    assert plan.settings["class_names"] == ["background", "cytoplasm", "nucleus"]
    assert (
        plan.lines[0]
        == "classes: those of the data, background, cytoplasm, nucleus (the bundle's: background, nucleus)"
    )


def test_a_start_that_is_given_twice_or_is_not_there_is_refused(tmp_path):
    data, bare = data_set(tmp_path / "data"), tmp_path / "bundle"
    shutil.copytree(UNET, bare, ignore=shutil.ignore_patterns("models"))
    with pytest.raises(DataError, match=r"--from scratch and --ckpt_path w\.pt: give one of them"):
        plan_training(UNET, {"ckpt_path": "w.pt"}, data=data, output=tmp_path, start="scratch")
    with pytest.raises(DataError, match=r"models/model\.pt: is missing, .*: give --from scratch, or --ckpt_path FILE"):
        plan_training(bare, {}, data=data, output=tmp_path)


@pytest.mark.parametrize("resume", [True, "auto"])
def test_a_training_that_goes_on_keeps_what_it_began_with(tmp_path, resume):
    """Whatever the defaults are now; with `auto` it goes on only if there is something to go on from."""
    write_record(tmp_path / "run", settings={"ckpt_path": None, "learning_rate": 0.5, "title": "Mine", "max_epochs": 9})
    (tmp_path / "run" / "checkpoint.pt").touch()
    given = {"resume": resume, "max_epochs": 12}
    plan = plan_training(UNET, given, data=data_set(tmp_path / "data"), output=tmp_path / "run")
    assert plan.settings == {"ckpt_path": None, "learning_rate": 0.5, "title": "Mine", "keep_cut_objects": True}
    fresh = plan_training(UNET, {"resume": "auto"}, data=tmp_path / "data", output=tmp_path / "empty")
    assert fresh.settings["ckpt_path"]


@pytest.mark.parametrize("n_images", [1, 2, 7, 63, 64, 65, 500, 10_000])
def test_few_images_fill_epochs_and_many_do_not_make_them_endless(n_images):
    settings = fine_tuning_settings(n_images)
    crops = n_images * settings["crops_per_image"]
    assert crops >= 64
    assert settings["max_epochs"] >= 4
    assert n_images > 600 or crops * settings["max_epochs"] <= 2400


def test_scores_of_other_weights_are_calibrated_by_their_own_fit_or_not_at_all(tmp_path):
    bundle = tmp_path / "bundle"
    (bundle / "configs").mkdir(parents=True)
    (bundle / "models").mkdir()
    for workflow in ("evaluate", "inference"):
        keys = {"score_temperature": 1.4, "score_bias": -0.5}
        content = {"_desc_": {key: {"type": "number"} for key in keys}, **keys}
        (bundle / "configs" / f"{workflow}.json").write_text(json.dumps(content))
    given = {"ckpt_path": str(tmp_path / "model.pt")}
    for folder in (tmp_path, bundle / "models"):
        torch.save({}, folder / "model.pt")

    def planned(**further):
        return plan_for_weights(bundle, given | further, "inference")

    assert planned().settings == {"score_temperature": 1.0, "score_bias": 0.0}
    assert planned().lines[0].endswith("model.pt gives them, without a fit: score_temperature 1.0, score_bias 0.0")
    ScoreCalibration(2.0, -0.5).write(tmp_path, objects=300)
    assert planned().settings == {"score_temperature": 2.0}
    assert planned().lines == [f"scores, as fitted for {tmp_path / 'model.pt'}: score_temperature 2.0"]
    assert planned(score_temperature=1.1).settings == {}
    ScoreCalibration().write(tmp_path, objects=93)
    told = (
        "model.pt gives them, not fitted: 93 objects found in the validation images, below 100: score_temperature 1.0"
    )
    assert told in planned().lines[0]
    own = {"ckpt_path": str(bundle / "models" / "model.pt")}
    assert plan_for_weights(bundle, own, "inference").settings == {}


AS_THE_NETWORK_SCORES = {"score_temperature": 1.0, "score_bias": 0.0}  # where a training left no fit


def test_weights_of_a_training_are_run_with_its_classes(tmp_path):
    write_record(tmp_path, settings={"class_names": ["background", "a", "b"], "working_diameter_px": 23, "seed": 1})
    given = {"ckpt_path": str(tmp_path / "model.pt")}
    torch.save({}, tmp_path / "model.pt")
    for workflow in ("evaluate", "inference"):
        plan = plan_for_weights(UNET, given, workflow)
        assert plan.settings == {"class_names": ["background", "a", "b"]} | AS_THE_NETWORK_SCORES
        assert "class_names ['background', 'a', 'b']" in plan.lines[0]
        assert plan_for_weights(UNET, given | plan.settings, workflow).settings == {}
        assert plan_for_weights(UNET, {}, workflow).settings == {}


@pytest.mark.parametrize("of_data", [None, "DAPI", ["GFP", "DAPI"]])
def test_the_channels_are_those_of_the_data_whatever_the_bundle_sees(of_data, tmp_path):
    file = shutil.copytree(UNET, tmp_path / "bundle") / "configs" / "train.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"channel": ["a", "b", "c", "d"]}))
    channels = {} if of_data is None else {"channel": of_data}
    plan = plan_training(file.parents[1], {}, data=data_set(tmp_path / "data", **channels), output=tmp_path)
    assert plan.settings["channel"] == of_data


@pytest.mark.parametrize("name", ["dsb2018_unet", "segpc2021_unet"])
@pytest.mark.parametrize("kept", [True, False])
def test_objects_at_borders_are_kept_as_in_the_data(name, kept, tmp_path):
    bundle = ROOT / "bundles" / name
    own = json.loads((bundle / "configs" / "train.json").read_text())["keep_cut_objects"]
    data = data_set(tmp_path / "data")
    labels = np.zeros((60, 60), np.uint16)
    for number in range(6):
        labels[10 * number : 10 * number + 8, 20:30] = number + 1
        labels[10 * number : 10 * number + 8, : 4 if kept else 9] = number + 11
    Image.fromarray(labels).save(data / "labels.png")
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps(content | {"training": [{"instances": "labels.png"}] * 3}))
    plan = plan_training(bundle, {}, data=data, output=tmp_path)
    assert plan.settings.get("keep_cut_objects", own) is kept
    told = [line for line in plan.lines if line.startswith("objects of which the border of an image leaves little")]
    assert len(told) == (own is not kept)
    given = {"keep_cut_objects": own}
    assert "keep_cut_objects" not in plan_training(bundle, given, data=data, output=tmp_path).settings

    write_record(tmp_path, settings={"keep_cut_objects": kept})
    (tmp_path / "model.pt").write_bytes((bundle / "models" / "model.pt").read_bytes())
    of_weights = plan_for_weights(bundle, {"ckpt_path": str(tmp_path / "model.pt")}, "inference")
    assert of_weights.settings.get("keep_cut_objects", own) is kept
