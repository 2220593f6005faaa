import csv
import json
import re
import shutil

import numpy as np
import pytest
from compare_cases import HEIGHT_PX, SHIFTED, UNET, WIDTH_PX, evaluate
from PIL import Image

from medseg_ext.cli.main import main
from medseg_ext.errors import DataError
from medseg_ext.pages.comparison_page import write_comparison
from medseg_ext.pages.comparison_pictures import choose_images, draw_runs
from medseg_ext.pages.found_and_missed import GAP_PX, MATCHED, MISSED, SPURIOUS
from medseg_ext.pages.panels import CAPTION_PX, PANEL_PX, TRUTH
from medseg_ext.runs.run_comparison import compare_run_folders
from medseg_ext.runs.training_curve import read_curve


@pytest.fixture(scope="module")
def folders(tmp_path_factory, intervals_of_few_images):
    folder = tmp_path_factory.mktemp("runs")
    return (
        evaluate(folder / "unet", UNET, curve=[0.3, 0.7, 0.6], weights=b"own"),
        evaluate(folder / "segformer", SHIFTED, model="SegFormer <b5>"),
        evaluate(folder / "cells", {"a": 4, "b": 0}, data_set="SegPC-2021", curve=[0.5], weights=b"own"),
    )


@pytest.fixture(scope="module")
def output(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("comparison") / "new" / "folder"
    assert main(["compare", *map(str, folders), "--output", str(output)]) == 0
    return output


def test_every_row_of_the_csv_is_what_metrics_json_says(folders, output):
    rows = list(csv.DictReader((output / "comparison.csv").open(encoding="utf-8")))
    own = {
        ("DSB2018", "U-Net"): folders[0],
        ("DSB2018", "SegFormer <b5>"): folders[1],
        ("SegPC-2021", "U-Net"): folders[2],
    }
    values = {}
    for key, folder in own.items():
        metrics = json.loads((folder / "metrics.json").read_text())["metrics"]
        chosen = {row["metric"]: row for row in rows if (row["data_set"], row["run"]) == key}
        assert list(chosen) == list(metrics)
        for metric, row in chosen.items():
            expected = [metrics[metric]["value"], *metrics[metric]["interval_95"]]
            numbers = [float(row[column]) if row[column] else None for column in ("value", "low", "high")]
            assert numbers == [None if each is None else pytest.approx(each, rel=1e-5) for each in expected]
            assert int(row["images"]) == metrics[metric]["images"]
            values[*key, metric] = numbers[0]
    assert len(rows) == len(values)
    for row in rows:
        if row["difference_to_best"]:
            best = values[row["data_set"], row["best_run"], row["metric"]]
            if row["metric"] != "sq":  # undefined for an image of one run
                assert float(row["difference_to_best"]) == pytest.approx(float(row["value"]) - best, abs=2e-6)
            assert float(row["difference_low"]) <= float(row["difference_high"])
        else:
            assert row["run"] == row["best_run"] or not row["best_run"]


def test_the_page_needs_nothing_else_and_names_every_run(output):
    page = (output / "comparison.html").read_text(encoding="utf-8")
    assert "http" not in re.sub(r'base64,[^"]*', "", page)
    sources = re.findall(r'src="([^"]{22})', page)
    # two curves; of 4 images all but none, of 2 images both
    assert len(sources) == 2 + 4 + 2
    assert all(source.startswith("data:image/") for source in sources)
    assert "SegFormer &lt;b5&gt;" in page
    assert "SegFormer <b5>" not in page
    assert "<td>U-Net</td>" in page
    assert re.search(r"No curve.*: SegFormer &lt;b5&gt;\.", page)


def test_markdown_has_a_score_of_each_run_on_each_data_set_and_links_to_files_that_exist(output):
    text = (output / "comparison.md").read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if line.startswith("| U-Net"))
    cells = [cell.strip() for cell in first.strip("|").split("|")]
    assert len(cells) == 3
    assert all(re.match(r"0\.\d{3} \(", cell) for cell in cells[1:])
    assert re.match(r"\| SegFormer &lt;b5&gt; \| 0\.\d{3} \(.*\) \|  \|", text[text.index("| SegFormer") :])
    for file in re.findall(r"\]\((\S+)\)$", text, re.MULTILINE):
        assert (output / file).is_file()


def test_other_weights_on_other_data_are_another_row(folders, tmp_path):
    other = evaluate(tmp_path / "new_mine", {"a": 4, "b": 0}, data_set="Liver", weights=b"other")
    assert main(["compare", str(folders[0]), str(other), "--output", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert re.search(r"^\| U-Net \(unet\) \| 0\.\d{3} \(.*\) \|  \|$", text, re.MULTILINE)
    assert re.search(r"^\| U-Net \(new_mine\) \|  \| 0\.\d{3} \(.*\) \|$", text, re.MULTILINE)


def test_objects_found_missed_and_spurious_stand_before_the_metrics(output):
    for file, end in (("comparison.html", "<h2>"), ("comparison.md", "## ")):
        top = re.sub(r"</?span[^>]*>", "", (output / file).read_text(encoding="utf-8").partition(end)[0])
        assert "4 of 4 found, 0 missed, 0 spurious" in top
        assert "3 of 4 found, 1 missed, 1 spurious" in top


def test_the_best_run_is_marked_but_for_a_tie(folders, tmp_path):
    write_comparison(compare_run_folders([folders[0], shutil.copytree(folders[0], tmp_path / "copy")]), tmp_path)
    assert "**" not in (tmp_path / "comparison.md").read_text(encoding="utf-8")
    assert 'class="n best"' not in (tmp_path / "comparison.html").read_text(encoding="utf-8")
    write_comparison(compare_run_folders(folders[:2]), tmp_path)
    lines = (tmp_path / "comparison.md").read_text(encoding="utf-8").splitlines()
    assert next(line for line in lines if line.startswith("| `foreground_iou` |")).count("**") == 2
    assert 'class="n best"' in (tmp_path / "comparison.html").read_text(encoding="utf-8")


def test_too_few_images_for_intervals_are_named_once_a_data_set(folders, tmp_path, monkeypatch):
    monkeypatch.setattr("medseg_ext.metrics.bootstrap.LEAST_GROUPS", 10)
    write_comparison(compare_run_folders(folders), tmp_path)
    for file in ("comparison.html", "comparison.md"):
        top = (tmp_path / file).read_text(encoding="utf-8").partition("Definitions")[0]
        assert top.count("too few images") == 2
        assert "DSB2018: too few images for intervals (4 groups, below 10)" in top


def test_pictures_have_a_panel_for_the_truth_and_for_each_run(output):
    height_px = round(PANEL_PX * HEIGHT_PX / WIDTH_PX) + CAPTION_PX
    with Image.open(output / "pictures" / "DSB2018_1.jpg") as picture:
        assert picture.size == (3 * PANEL_PX + 2 * GAP_PX, height_px)
    with Image.open(output / "pictures" / "SegPC-2021_1.jpg") as picture:
        assert picture.size == (2 * PANEL_PX + GAP_PX, height_px)


def test_outlines_are_at_their_place_in_their_colour(folders):
    (comparison,) = compare_run_folders(folders[:2])
    picture = draw_runs(comparison.runs, "d", titles={name: name for name in comparison.runs})[CAPTION_PX:]
    truth, unet, segformer = (
        picture[:, left : left + PANEL_PX] for left in range(0, picture.shape[1], PANEL_PX + GAP_PX)
    )
    scale = PANEL_PX / WIDTH_PX

    def columns_of(panel, colour):  # where a colour begins and ends, in px of the image
        columns = np.flatnonzero((panel == colour).all(axis=-1).any(axis=0))
        return None if columns.size == 0 else tuple((columns[[0, -1]] / scale).round().tolist())

    # The truth of "d" spans the columns 18 to 28; U-Net's is 3 px aside (IoU 70 / 130), SegFormer's 5 px (50 / 150).
    assert columns_of(truth, TRUTH) == (18, 28)
    assert columns_of(unet, MATCHED) == (21, 31)
    assert columns_of(unet, MISSED) is None
    assert columns_of(segformer, SPURIOUS) == (23, 33)
    assert columns_of(segformer, MISSED)[0] == 18
    assert columns_of(segformer, MATCHED) is None


def test_each_image_is_chosen_once_even_of_few():
    assert choose_images({"a": np.array([0.5]), "b": np.array([0.7])}) == {0: "runs differ most"}
    assert choose_images({"a": np.array([0.5, 0.1, 0.9, 0.8])}) == {0: "lowest", 3: "middle", 1: "lowest"}


def test_the_curve_of_the_training_is_drawn_from_the_run_folder(folders, output):
    assert read_curve(folders[0]) == [(1, 0.3), (2, 0.7), (3, 0.6)]
    assert read_curve(folders[1]) is None
    assert (output / "curves_DSB2018.png").is_file()
    assert (output / "curves_SegPC-2021.png").is_file()


def test_curves_of_trainings_on_other_data_are_left_out_and_named(folders, tmp_path):
    """Shipped weights beside own ones: their curve is that of other validation images."""
    other = evaluate(tmp_path / "shipped", UNET, model="Shipped", trained_on="Elsewhere", curve=[0.9])
    write_comparison(compare_run_folders([folders[0], other]), tmp_path / "out")
    for file in ("comparison.html", "comparison.md"):
        text = (tmp_path / "out" / file).read_text(encoding="utf-8")
        assert "No curve, because the training was on other data: Shipped (Elsewhere)." in text
    assert (tmp_path / "out" / "curves_DSB2018.png").is_file()
    write_comparison(compare_run_folders([other]), tmp_path / "alone")
    assert not (tmp_path / "alone" / "curves_DSB2018.png").exists()


def test_a_missing_label_map_is_named(folders, tmp_path):
    folder = shutil.copytree(folders[0], tmp_path / "run")
    (folder / "predictions" / "d.tif").unlink()
    with pytest.raises(DataError, match=r"d\.tif is missing.*again"):
        write_comparison(compare_run_folders([folder]), tmp_path / "out")


def test_the_command_ends_with_the_reason_when_runs_cannot_be_compared(folders, tmp_path, capsys):
    assert main(["compare", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "has no run.json" in capsys.readouterr().err
    assert main(["compare", str(folders[0]), "--names", "a", "b", "--output", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()
