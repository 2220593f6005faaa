import csv
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.data import MetaTensor
from PIL import Image
from process_groups import run_joined

from medseg_ext.errors import DataError
from medseg_ext.handlers.evaluation_report import EvaluationReport
from medseg_ext.images.read import read_labels
from medseg_ext.pages.found_and_missed import GAP_PX, MATCHED, MISSED, SPURIOUS, draw_found_and_missed
from medseg_ext.runs.run_folder import load_run


def square(top: int, left: int, side: int = 10, label: int = 1) -> torch.Tensor:
    instances = torch.zeros(1, 24, 36, dtype=torch.int32)
    instances[0, top : top + side, left : left + side] = label
    return instances


def evaluate(tmp_path, cases, **options) -> EvaluationReport:
    """Run the handler over (id, kind, predicted, true) cases with black images."""
    Image.fromarray(np.zeros((24, 36, 3), np.uint8)).save(tmp_path / "image.png")
    meta = {"filename_or_obj": str(tmp_path / "image.png")}
    image = MetaTensor(torch.zeros(3, 24, 36), meta=meta)

    def step(engine, case):
        name, kind, predicted, true, *scores = case
        engine.state.batch = [{"id": name, "image": image, "kind": kind}]
        maps = {"pred_instances": predicted, "true_instances": true}
        if scores:
            maps["pred_scores"] = torch.tensor(scores[0])
        return [{**maps, "pred_classes": (predicted > 0).byte(), "true_classes": (true > 0).byte()}]

    report = EvaluationReport(str(tmp_path / "out"), class_names=["background", "nucleus"], **options)
    report.attach(engine := Engine(step))
    engine.run(cases)
    return report


CASES = [("moved", "f", square(2, 7), square(2, 2)), ("right", "a", square(2, 2), square(2, 2))]


def test_the_files_hold_the_hand_worked_values(tmp_path):
    evaluate(tmp_path, CASES)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["images"] == 2
    assert metrics["metrics"]["foreground_iou"]["value"] == pytest.approx((1 / 3 + 1) / 2)
    assert metrics["metrics"]["ap_50"]["value"] == pytest.approx(1 / 3)  # one TP, one FP, one FN
    assert metrics["metrics"]["segpc_miou"]["value"] == pytest.approx((1 / 3 + 1) / 2)
    assert metrics["by_kind"]["f"]["foreground_iou"]["value"] == pytest.approx(1 / 3)
    rows = {row["id"]: row for row in csv.DictReader((tmp_path / "out" / "metrics_per_image.csv").open())}
    assert rows["moved"]["foreground_iou"] == "0.333333"
    assert rows["moved"]["sq"] == ""  # no pair above 0.5: undefined
    assert rows["right"]["true_objects"] == "1"


def test_scores_are_compared_with_what_is_right(tmp_path):
    """One object is wrong at .75, one right at .75, and one right at .5."""
    cases = [(*CASES[0], [0.75]), (*CASES[1], [0.75]), ("third", "a", square(2, 2), square(2, 2), [0.5])]
    evaluate(tmp_path, cases, object_name="nucleus")
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text())["scores"]
    assert (scores["objects"], scores["right"], scores["mean_score"]) == pytest.approx((3, 2 / 3, 2 / 3))
    error = scores["expected_calibration_error"]
    assert error["value"] == pytest.approx((abs(1.5 - 1) + abs(0.5 - 1)) / 3)
    assert error["interval_95"] == [None, None]
    assert scores["brier_score"]["value"] == pytest.approx((0.75**2 + 0.25**2 + 0.5**2) / 3)
    assert [each["objects"] for each in scores["reliability"]] == [1, 2]
    rows = list(csv.reader((tmp_path / "out" / "object_scores.csv").open()))
    assert sorted(rows[1:]) == [
        ["moved", "1", "0.750000", "0"], ["right", "1", "0.750000", "1"], ["third", "1", "0.500000", "1"],
    ]  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Of 2 with a score of about 0.75, 50 % are right" in page
    assert "Below 100 nuclei these are too few to judge scores by." in page


def test_without_scores_or_objects_a_report_tells_of_none(tmp_path):
    evaluate(tmp_path, CASES)
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text())["scores"]
    assert (scores["objects"], scores["reliability"], scores["right"]) == (0, [], None)
    assert "calibration error" not in (tmp_path / "out" / "report.html").read_text()
    assert not (tmp_path / "out" / "reliability.png").exists()


def test_the_report_is_called_by_the_data_set_that_was_evaluated(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "dataset.json").write_text('{"name": "Liver <2>"}')
    evaluate(tmp_path, CASES, title="Nuclei", dataset_dir=str(tmp_path / "mine"))
    assert "<h1>Nuclei, Liver &lt;2&gt;</h1>" in (tmp_path / "out" / "report.html").read_text()


def moved(name: str, columns: int) -> tuple:
    """A case of one square, predicted some columns too far: its IoU is (10 - columns) / (10 + columns)."""
    return name, "f", square(2, 2 + columns), square(2, 2), [0.9 - columns / 10]


def assert_all_in_order(folder) -> None:
    """What the files hold of images a to d, whose IoUs are 2/3, 1/3, 1 and 3/7."""
    run = load_run(folder)
    assert run.ids == ["a", "b", "c", "d"]
    assert run.statistics["foreground_iou"].tolist() == [[80, 120], [50, 150], [100, 100], [60, 140]]
    rows = list(csv.DictReader((folder / "metrics_per_image.csv").open()))
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["foreground_iou"] for row in rows] == ["0.666667", "0.333333", "1.000000", "0.428571"]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["images"] == 4
    scores = metrics["scores"]  # of b and d, which are wrong, .4 and .5
    assert (scores["objects"], scores["right"], scores["mean_score"]) == pytest.approx((4, 0.5, 0.625))
    assert scores["expected_calibration_error"]["value"] == pytest.approx((0.4 + 0.5 + 0.3 + 0.1) / 4)


SHARES = [[moved("d", 4), moved("a", 2), moved("c", 0)], [moved("c", 0), moved("b", 5), moved("d", 4)]]


def test_images_are_reported_in_order_of_their_ids(tmp_path):
    evaluate(tmp_path, [*SHARES[0], SHARES[1][1]])
    assert_all_in_order(tmp_path / "out")


@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_process_reports_the_images_of_all_each_once(tmp_path, monkeypatch, rank):
    """The other process is played by a patched gathering. Two images come twice, as a sampler fills its shares up."""
    shares = [evaluate(tmp_path, share).evaluation.images for share in SHARES]
    (tmp_path / "out" / "metrics.json").unlink()

    def gather(parts, images):
        assert {image.id for image in images} == {image.id for image in shares[rank]}
        parts[:] = shares

    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.get_rank", lambda: rank)
    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    evaluate(tmp_path, SHARES[rank])
    if rank == 0:
        assert_all_in_order(tmp_path / "out")
    else:
        assert not (tmp_path / "out" / "metrics.json").exists()


def _evaluate_share(rank: int, folder: Path) -> None:
    report = evaluate(folder, SHARES[rank])
    assert [image.id for image in report.evaluation.images] == ["a", "b", "c", "d"]


@pytest.mark.slow
def test_two_processes_write_one_report_of_all_images(tmp_path):
    run_joined(_evaluate_share, tmp_path)
    assert_all_in_order(tmp_path / "out")


def test_an_id_that_leads_out_of_the_folder_writes_nothing(tmp_path):
    with pytest.raises(DataError, match=r"the id '../../elsewhere' cannot name a file"):
        evaluate(tmp_path, [("../../elsewhere", "", square(2, 2), square(2, 2))])
    assert {path.name for path in tmp_path.rglob("*")} == {"image.png"}


def test_undefined_values_are_null_in_json(tmp_path):
    evaluate(tmp_path, CASES[:1])
    text = (tmp_path / "out" / "metrics.json").read_text()
    assert "NaN" not in text
    assert json.loads(text)["metrics"]["sq"]["value"] is None


def test_the_report_shows_the_worst_image_first_and_needs_no_other_file(tmp_path):
    evaluate(tmp_path, CASES, title="Squares <moved>")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.index("moved: foreground_iou 0.333") < page.index("right: foreground_iou 1.000")
    assert "Squares &lt;moved&gt;" in page
    assert page.count("data:image/png;base64,") == 3
    assert 'src="http' not in page


def test_an_unknown_headline_is_refused(tmp_path):
    with pytest.raises(ValueError, match="fancy_iou"):
        EvaluationReport(str(tmp_path), class_names=["background", "nucleus"], headline=["fancy_iou"])


def test_the_folder_keeps_what_a_comparison_needs(tmp_path):
    report = evaluate(tmp_path, CASES, facts={"section": "testing"}, title="Squares")
    run = load_run(tmp_path / "out")
    assert (run.ids, run.kinds) == (["moved", "right"], ["f", "a"])
    assert (run.model, run.data_set) == ("", "Squares")  # without a bundle and a data set folder
    assert run.facts == {"section": "testing"}
    assert run.statistics["foreground_iou"].tolist() == [[50, 150], [100, 100]]
    assert list(run.statistics) == list(report.evaluation.definitions)
    np.testing.assert_array_equal(read_labels(run.label_map_path("moved")), square(2, 7)[0])
    np.testing.assert_array_equal(read_labels(run.label_map_path("moved", of_truth=True)), square(2, 2)[0])


def test_a_second_run_forgets_the_images_of_the_first(tmp_path):
    report = evaluate(tmp_path, CASES)
    for _ in range(2):
        report.start(Engine(lambda *_: None))
        assert report.evaluation.images == []


def test_objects_are_counted_and_drawn_by_their_own_ids(tmp_path, monkeypatch):
    """Of the true objects 5, 7 and 9 the prediction 3 finds 7, and the prediction 4 nothing."""
    drawn = {}

    def draw(image, predicted, true, **matched):
        drawn.update(matched)
        return np.zeros((4, 4, 3), np.uint8)

    monkeypatch.setattr("medseg_ext.pages.found_and_missed.draw_found_and_missed", draw)
    true = square(0, 0, label=5) + square(0, 20, label=7) + square(12, 0, label=9)
    predicted = square(0, 20, label=3) + square(12, 20, label=4)
    (image,) = evaluate(tmp_path, [("a", "", predicted, true)]).evaluation.images
    assert (image.true_objects, image.pred_objects) == (3, 2)
    assert (drawn["matched_pred"].tolist(), drawn["matched_true"].tolist()) == ([3], [7])
    row = next(csv.DictReader((tmp_path / "out" / "metrics_per_image.csv").open()))
    assert (row["true_objects"], row["pred_objects"]) == ("3", "2")


def test_images_without_kinds_are_not_grouped(tmp_path):
    evaluate(tmp_path, [("a", "", square(2, 2), square(2, 2))])
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["by_kind"] == {}


@pytest.mark.parametrize(("pictures", "shown"), [(3, "87640"), (2, "8740"), (6, "87654310")])
def test_the_worst_images_are_shown_and_a_third_as_many_of_the_middle_and_of_the_best(tmp_path, pictures, shown):
    """Nine images, named by how far the prediction is off; the middle one is 4."""
    evaluate(tmp_path, [moved(str(columns), columns) for columns in range(9)], pictures=pictures)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "".join(dict.fromkeys(re.findall(r"\b(\d): foreground_iou", page))) == shown


def test_the_digest_is_of_the_truth_whatever_the_prediction(tmp_path):
    (one,), (other,) = (evaluate(tmp_path, [moved("a", columns)]).evaluation.images for columns in (0, 3))
    (third,) = evaluate(tmp_path, [("a", "f", square(2, 2), square(2, 3))]).evaluation.images
    assert one.truth_digest == other.truth_digest != third.truth_digest


def test_the_bundle_names_the_model_and_the_folder_the_data_set(tmp_path):
    (tmp_path / "toy_net" / "configs").mkdir(parents=True)
    (tmp_path / "dataset.json").write_text('{"name": "Squares-1"}')
    options = {"bundle_root": str(tmp_path / "toy_net"), "dataset_dir": str(tmp_path)}
    evaluate(tmp_path, CASES, **options)
    assert load_run(tmp_path / "out").data_set == "Squares-1"
    assert load_run(tmp_path / "out").model == "toy_net"
    (tmp_path / "toy_net" / "configs" / "metadata.json").write_text('{"name": "Toy-Net"}')
    evaluate(tmp_path, CASES, **options)
    assert load_run(tmp_path / "out").model == "Toy-Net"


def test_the_curve_of_the_training_is_kept_and_never_that_of_other_weights(tmp_path):
    kept = tmp_path / "out" / "training_curve.csv"
    bundle = tmp_path / "bundle"
    for folder in (tmp_path / "training", bundle / "models", bundle / "docs"):
        folder.mkdir(parents=True)
    (tmp_path / "training" / "iou_curve.csv").write_text("own")
    (bundle / "docs" / "iou_curve.csv").write_text("shipped")
    evaluate(tmp_path, CASES, training_dir=str(tmp_path / "training"), bundle_root=str(bundle))
    assert kept.read_text() == "own"
    evaluate(tmp_path, CASES, training_dir=str(bundle / "models"), bundle_root=str(bundle))
    assert kept.read_text() == "shipped"
    evaluate(tmp_path, CASES, training_dir=str(tmp_path), bundle_root=str(bundle))
    assert not kept.exists()


def test_the_curve_beside_a_checkpoint_in_the_current_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iou_curve.csv").write_text("own")
    evaluate(tmp_path, CASES, training_dir=os.path.dirname("model.pt"))  # noqa: PTH120 - as the configs have it
    assert (tmp_path / "out" / "training_curve.csv").read_text() == "own"


def test_an_interrupted_evaluation_leaves_no_run_to_compare(tmp_path):
    evaluate(tmp_path, CASES)
    with pytest.raises(ValueError, match="same height and width"):
        evaluate(tmp_path, [CASES[0], ("broken", "f", square(2, 2), square(2, 2)[:, :-1])])
    assert not (tmp_path / "out" / "run.json").exists()


def test_found_missed_and_spurious_objects_have_their_colours():
    true = square(2, 2, label=5) + square(2, 20, label=7)
    predicted = square(2, 2, label=3) + square(13, 20, label=4)
    picture = draw_found_and_missed(
        np.zeros((24, 36, 3)),
        predicted[0].numpy(),
        true[0].numpy(),
        matched_pred=np.array([3]),
        matched_true=np.array([5]),
        panel_px=36,
    )
    assert picture.shape == (24, 3 * 36 + 2 * GAP_PX, 3)
    truth, prediction = picture[:, 36 + GAP_PX : 72 + GAP_PX], picture[:, 72 + 2 * GAP_PX :]
    assert tuple(truth[2, 5]) == MATCHED
    assert tuple(truth[2, 25]) == MISSED
    assert tuple(prediction[2, 5]) == MATCHED
    assert tuple(prediction[13, 25]) == SPURIOUS
    assert tuple(prediction[7, 7]) == (0, 0, 0)


def test_a_report_begins_with_what_was_found_in_words_and_says_that_few_images_have_no_interval(tmp_path):
    (tmp_path / "net" / "configs").mkdir(parents=True)
    metadata = {"name": "U-Net", "kinds": {"f": "fluorescence", "a": "stained tissue"}}
    (tmp_path / "net" / "configs" / "metadata.json").write_text(json.dumps(metadata))
    evaluate(tmp_path, CASES, object_name="nucleus", bundle_root=str(tmp_path / "net"))
    page = (tmp_path / "out" / "report.html").read_text()
    first = page.split("<h1>")[1].split("<p")[1]
    assert "1 of 2 nuclei found, 1 missed, 1 spurious, in 2 images, by U-Net, 20" in first
    assert "too few images" in page
    assert "f: fluorescence" in page
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["objects"] == {"true": 2, "found": 1, "missed": 1, "spurious": 1}
    assert metrics["metrics"]["foreground_iou"]["interval_95"] == [None, None]
