import csv
import json
import shutil

import numpy as np
import pytest
import torch
from compare_cases import SHIFTED, TRUTHS, UNET, evaluate

from medseg_ext.errors import DataError
from medseg_ext.runs.run_comparison import compare_run_folders
from medseg_ext.runs.run_folder import load_run

pytestmark = pytest.mark.usefixtures("intervals_of_few_images")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, intervals_of_few_images):
    folder = tmp_path_factory.mktemp("runs")
    return evaluate(folder / "unet", UNET), evaluate(folder / "segformer", SHIFTED, model="SegFormer")


def copy_of(folder, target):
    shutil.copytree(folder, target)
    return target


def test_scores_are_those_of_each_runs_own_metrics(folders):
    (comparison,) = compare_run_folders(folders)
    for name, run in comparison.runs.items():
        metrics = json.loads((run.folder / "metrics.json").read_text())["metrics"]
        assert list(comparison.scores) == list(metrics)
        for metric, own in metrics.items():
            score = comparison.scores[metric][name]
            expected = [own["value"], *own["interval_95"]]
            assert np.array_equal(score.interval, np.array(expected, dtype=float), equal_nan=True), metric
            assert score.images == own["images"]


def test_objects_found_missed_and_spurious_are_those_that_the_evaluation_counted(folders):
    for folder in folders:
        assert load_run(folder).objects == json.loads((folder / "metrics.json").read_text())["objects"]
    assert load_run(folders[1]).objects == {"true": 4, "found": 3, "missed": 1, "spurious": 1}


def test_the_difference_is_value_minus_best_with_the_interval_of_a_paired_bootstrap(folders):
    (comparison,) = compare_run_folders(folders)
    best, other = comparison.scores["foreground_iou"].values()
    assert best.best_run == other.best_run == "U-Net"
    assert best.difference is None
    assert other.difference.value == pytest.approx(other.interval.value - best.interval.value)
    # The oracle: this metric is a mean over images, so that its difference is the mean of the images' differences.
    per_image = [
        np.array([float(row["foreground_iou"]) for row in csv.DictReader((folder / "metrics_per_image.csv").open())])
        for folder in folders
    ]
    drawn = torch.randint(len(TRUTHS), (2000, len(TRUTHS)), generator=torch.Generator().manual_seed(0)).numpy()
    low, high = np.percentile((per_image[1] - per_image[0])[drawn].mean(axis=1), [2.5, 97.5])
    assert (other.difference.low, other.difference.high) == pytest.approx((low, high), abs=2e-6)
    assert other.is_surely_lower == (high < 0)


def test_no_difference_is_above_0_where_every_image_is_defined(folders):
    (comparison,) = compare_run_folders(folders)
    for scores in comparison.scores.values():
        for score in scores.values():
            assert score.difference is None or score.images < len(TRUTHS) or score.difference.value <= 0


def test_a_mean_over_images_differs_only_by_the_images_that_both_runs_have_defined(tmp_path):
    # A square of 10 px that is shifted by 1, 3, 5 px has an IoU of 9 / 11, 7 / 13, 1 / 3: the last one is no match.
    few = evaluate(tmp_path / "few", {"a": 1, "b": 5, "c": 1, "d": 5}, model="few")
    all_four = evaluate(tmp_path / "all", {"a": 0, "b": 3, "c": 0, "d": 3}, model="all")
    (comparison,) = compare_run_folders([few, all_four])
    score = comparison.scores["sq"]["all"]
    assert score.best_run == "few"  # by its own mean, 9 / 11 against (1 + 7 / 13) / 2
    assert score.difference == pytest.approx((2 / 11, 2 / 11, 2 / 11))
    assert not score.is_surely_lower
    # Pooled, an image without a match adds nothing to the sums: all images count for both runs.
    pooled = comparison.scores["mean_matched_iou"]["all"]
    assert pooled.difference.value == pytest.approx((1 + 7 / 13) / 2 - 9 / 11)


def test_the_order_of_a_runs_images_does_not_matter(folders, tmp_path):
    reversed_run = evaluate(tmp_path / "segformer", dict(reversed(SHIFTED.items())), model="SegFormer")
    assert compare_run_folders([folders[0], reversed_run])[0].scores == compare_run_folders(folders)[0].scores


def test_a_run_and_its_copy_differ_by_exactly_0(folders, tmp_path):
    (comparison,) = compare_run_folders([folders[0], copy_of(folders[0], tmp_path / "copy")])
    assert list(comparison.runs) == ["U-Net (unet)", "U-Net (copy)"]
    for scores in comparison.scores.values():
        first, second = scores.values()
        assert first.difference is None
        assert second.difference == (0, 0, 0)
        assert not second.is_surely_lower


def test_one_run_alone_has_no_differences(folders):
    (comparison,) = compare_run_folders(folders[:1])
    assert all(score.difference is None for scores in comparison.scores.values() for score in scores.values())


def test_an_undefined_score_is_never_the_best(folders, tmp_path):
    nothing_found = evaluate(tmp_path / "far", dict.fromkeys(UNET, 14), model="far off")
    (comparison,) = compare_run_folders([nothing_found, folders[0]])
    far, unet = comparison.scores["sq"].values()
    assert np.isnan(far.interval.value)
    assert unet.best_run == "U-Net"
    (alone,) = compare_run_folders([nothing_found])
    assert alone.scores["sq"]["far off"].best_run == ""


def test_runs_on_other_data_sets_are_compared_apart(folders, tmp_path):
    other = evaluate(tmp_path / "other", {"a": 1, "b": 0}, data_set="SegPC-2021")
    comparisons = compare_run_folders([folders[0], other, folders[1]])
    assert {each.data_set: list(each.runs) for each in comparisons} == {
        "DSB2018": ["U-Net (unet)", "SegFormer"],
        "SegPC-2021": ["U-Net (other)"],
    }


def test_names_are_given_in_the_order_of_the_folders(folders):
    (comparison,) = compare_run_folders(folders, ["first", "second"])
    assert {name: run.folder for name, run in comparison.runs.items()} == dict(
        zip(["first", "second"], folders, strict=True)
    )


@pytest.mark.parametrize("names", [["one"], ["same", "same"]])
def test_names_that_do_not_tell_the_runs_apart_are_refused(folders, names):
    with pytest.raises(DataError, match="--names must"):
        compare_run_folders(folders, names)


def test_a_folder_that_is_given_twice_is_refused(folders):
    with pytest.raises(DataError, match="unet is given twice"):
        compare_run_folders([folders[0], folders[0].parent / "unet_source" / ".." / "unet"])


def test_different_images_of_one_data_set_are_never_paired(folders, tmp_path):
    fewer = evaluate(tmp_path / "fewer", {"a": 0, "b": 0})
    with pytest.raises(DataError, match=r"unet and .*fewer.*different images: 4 and 2.*c, d.*--split"):
        compare_run_folders([folders[0], fewer])


def test_images_with_another_truth_are_never_paired(folders, tmp_path):
    other = evaluate(tmp_path / "other", UNET, truths={**TRUTHS, "c": (9, 20)})
    with pytest.raises(DataError, match=r"unet and .*other.*truth differs in c: .*one data set folder"):
        compare_run_folders([folders[0], other])


def test_other_classes_are_refused(folders, tmp_path):
    other = evaluate(tmp_path / "other", UNET, class_names=["background", "cell"])
    with pytest.raises(DataError, match=r"classes \['background', 'nucleus'\] and \['background', 'cell'\]"):
        compare_run_folders([folders[0], other])


def test_images_of_other_groups_are_never_paired(folders, tmp_path):
    other = evaluate(tmp_path / "other", UNET, groups={"b": "mosaic", "d": "mosaic"})
    with pytest.raises(DataError, match=r"unet and .*other.*groups differ in b, d: .*one data set folder"):
        compare_run_folders([folders[0], other])


def test_groups_are_kept_and_decide_the_intervals(folders, tmp_path):
    """Images a and d are one group, and the lowest difference is that of b."""
    groups = {"a": "mosaic", "d": "mosaic"}
    runs = [
        evaluate(tmp_path / name, dict(reversed(shifts.items())), model=name, groups=groups)
        for name, shifts in (("one", UNET), ("two", SHIFTED))
    ]
    assert load_run(runs[0]).groups == ["mosaic", "", "", "mosaic"]
    (comparison,) = compare_run_folders(runs)
    assert comparison.n_groups == 3
    own = [json.loads((run / "metrics.json").read_text()) for run in runs]
    for score, metrics, run in zip(comparison.scores["foreground_iou"].values(), own, runs, strict=True):
        assert metrics["groups"] == 3
        assert [score.interval.low, score.interval.high] == metrics["metrics"]["foreground_iou"]["interval_95"]
        rows = list(csv.DictReader((run / "metrics_per_image.csv").open()))
        assert [row["group"] for row in rows] == ["mosaic", "", "", "mosaic"]
    (without,) = compare_run_folders(folders)
    assert without.n_groups == 4
    one, plain = comparison.scores["foreground_iou"]["two"], without.scores["foreground_iou"]["SegFormer"]
    assert one.interval.value == plain.interval.value
    # One draw of three groups in 27 is b thrice, more than 2.5 %; one of four images in 256 is b alone.
    assert one.difference.low == pytest.approx(7 / 13 - 9 / 11)
    assert plain.difference.low > one.difference.low + 0.01


def test_an_evaluation_leaves_no_record_of_an_earlier_one_in_its_folder(tmp_path):
    (record := tmp_path / "run" / "provenance_evaluate.json").parent.mkdir()
    record.write_text("{}")
    evaluate(record.parent, {"a": 0})
    assert not record.exists()


def test_a_run_of_the_format_without_groups_is_refused_with_the_remedy(folders, tmp_path):
    folder = copy_of(folders[0], tmp_path / "old")
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | {"format": 1}))
    with pytest.raises(DataError, match=r"old has the format 1, expected 2: run the bundle's `evaluate` again"):
        load_run(folder)


@pytest.mark.parametrize("missing", ["run.json", "statistics.npz"])
def test_a_folder_without_its_files_is_refused_with_the_remedy(folders, tmp_path, missing):
    folder = copy_of(folders[0], tmp_path / "old")
    (folder / missing).unlink()
    with pytest.raises(DataError, match=rf"old has no {missing}.*run the bundle's `evaluate` again"):
        load_run(folder)
    with pytest.raises(DataError, match="nowhere is not a folder"):
        load_run(tmp_path / "nowhere")


def test_files_of_two_evaluations_are_refused(folders, tmp_path):
    folder = copy_of(folders[0], tmp_path / "mixed")
    shutil.copy(evaluate(tmp_path / "fewer", {"a": 0}) / "statistics.npz", folder)
    with pytest.raises(DataError, match="not of one evaluation"):
        load_run(folder)


@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY"])
def test_a_broken_file_is_refused_by_name(folders, tmp_path, content):
    folder = copy_of(folders[0], tmp_path / "broken")
    (folder / "statistics.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"broken is broken.*again"):
        load_run(folder)


def test_ids_that_lead_out_of_a_run_folder_are_refused(folders, tmp_path):
    folder = copy_of(folders[0], tmp_path / "odd")
    with np.load(folder / "statistics.npz") as file:
        arrays = dict(file)
    arrays["ids"] = np.array(["../a", *arrays["ids"][1:]])
    np.savez(folder / "statistics.npz", **arrays)
    with pytest.raises(DataError, match=r"odd/statistics.npz, image 0: the id '../a' cannot name a file"):
        load_run(folder)


def test_metrics_of_another_version_are_refused(folders, tmp_path):
    folder = copy_of(folders[0], tmp_path / "old")
    with np.load(folder / "statistics.npz") as file:
        arrays = {name: array for name, array in file.items() if name != "statistics.aji"}
    np.savez(folder / "statistics.npz", **arrays)
    with pytest.raises(DataError, match="old holds other metrics"):
        load_run(folder)
