import json
import sys
from pathlib import Path

import pytest
import yaml
from compare_cases import SHIFTED, UNET, evaluate
from PIL import Image

from medseg_ext.errors import DataError
from medseg_ext.pages.marked_parts import CLOSING, OPENING

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import front_page  # noqa: E402
import publish  # noqa: E402
from overview import PublishedFigures, write_overview  # noqa: E402

CASES = {
    "nuclei_unet": {"shifts": UNET},
    "nuclei_segformer": {"shifts": SHIFTED, "model": "SegFormer"},
    "cells_unet": {"shifts": {"a": 4, "b": 0}, "data_set": "SegPC-2021", "kind": ""},
}
FIGURES = {
    name: PublishedFigures(*figures)
    for name, figures in zip(CASES, ((0.82, 0.85), (0.75, 0.84), (0.73, 0.75)), strict=True)
}


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overview")
    found = {}
    for name, options in CASES.items():
        (configs := folder / "bundles" / name / "configs").mkdir(parents=True)
        (configs / "metadata.json").write_text(json.dumps({"data_source": f"Source of {name.partition('_')[0]}"}))
        found[folder / "bundles" / name] = evaluate(folder / "runs" / name, curve=[0.3, 0.7], **options)
    return found


@pytest.fixture
def results(tmp_path):
    page = tmp_path / "results.md"
    page.write_text("".join(f"{OPENING.format(name)}\n{CLOSING}\n\n" for name in ("results", "models", "curves")))
    return page


def test_each_bundle_has_its_row_with_report_floor_and_scores(evaluations, results):
    write_overview(results, evaluations, figures=FIGURES)
    rows = [line for line in results.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == len(evaluations)
    for row, (bundle, evaluation) in zip(rows, evaluations.items(), strict=True):
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        scores = json.loads((evaluation / "metrics.json").read_text())["metrics"]
        assert cells[0].startswith(f"`{bundle.name}`")
        assert cells[2] == f"{FIGURES[bundle.name].floor:.3f}"
        assert cells[3].startswith(f"{scores['foreground_iou']['value']:.3f} (")
        for cell, name in zip(cells[4:7], ("ap_50", "mean_matched_iou", "pq"), strict=True):
            assert cell == f"{scores[name]['value']:.3f}"
        challenge = [f"{scores[name]['value']:.3f}" for name in ("segpc_miou", "segpc_miou_matched")]
        assert cells[7:] == (challenge if "cells" in bundle.name else ["", ""])
    assert [row.split("|")[2].strip() for row in rows] == ["0.82", "0.75", "0.73"]


def test_evaluations_of_other_images_have_columns_and_stay_where_there_are_none(evaluations, results):
    results.write_text(results.read_text() + f"{OPENING.format('elsewhere')}\n{CLOSING}\n")
    (bundle, evaluation), *_ = evaluations.items()
    write_overview(results, evaluations, figures=FIGURES, elsewhere={"another laboratory": {bundle.name: evaluation}})
    part = results.read_text().split(OPENING.format("elsewhere"))[1]
    scores = json.loads((evaluation / "metrics.json").read_text())["metrics"]
    expected = " / ".join(f"{scores[name]['value']:.3f}" for name in ("foreground_iou", "ap_50", "pq"))
    assert f"| another laboratory ({len(UNET)} images) |" in part
    assert f"| `{bundle.name}` | {expected} |" in part
    write_overview(results, evaluations, figures=FIGURES)
    assert expected in results.read_text().split(OPENING.format("elsewhere"))[1]


def test_a_bundle_that_no_report_knows_has_an_empty_cell(evaluations, results):
    write_overview(results, evaluations, figures={name: PublishedFigures(None, floor=0.5) for name in FIGURES})
    rows = [line for line in results.read_text().splitlines() if line.startswith("| `")]
    assert [row.split("|")[2].strip() for row in rows] == [""] * len(evaluations)


def test_the_picture_is_as_wide_as_agreed_and_stands_with_its_sources(evaluations, results):
    _, models, curves = write_overview(results, evaluations, figures=FIGURES)
    with Image.open(models) as picture:
        assert picture.width <= 1600
    assert models.stat().st_size < 1_000_000
    page = results.read_text()
    assert "Source of nuclei; Source of cells" in page
    assert all(f"]({path.name})" in page for path in (models, curves))


def test_a_second_run_changes_nothing(evaluations, results):
    before = {path: path.read_bytes() for path in write_overview(results, evaluations, figures=FIGURES)}
    assert {path: path.read_bytes() for path in write_overview(results, evaluations, figures=FIGURES)} == before


def test_a_page_without_marker_lines_is_refused_before_anything_is_written(evaluations, results):
    results.write_text("# Collection\n")
    with pytest.raises(
        DataError, match=r"results\.md has no part `results`: add the lines `<!-- card: results -->` and"
    ):
        write_overview(results, evaluations, figures=FIGURES)
    assert list(results.parent.iterdir()) == [results]


def test_the_front_page_counts_the_objects_as_the_reports_do(evaluations, tmp_path, monkeypatch):
    by_name = {bundle.name: evaluation for bundle, evaluation in evaluations.items()}
    monkeypatch.setattr(front_page, "SHOWN", {"Nuclei": ("nuclei_unet", "fluorescence"), "Cells": ("cells_unet", "")})
    monkeypatch.setattr(front_page, "COUNTED", {"nuclei_segformer": "nuclei"})
    (readme := tmp_path / "README.md").write_text(f"{OPENING.format('found')}\n{CLOSING}\n")
    _, picture = front_page.write_front_page(readme, by_name)
    counts = json.loads((by_name["nuclei_segformer"] / "metrics.json").read_text())["objects"]
    predicted = counts["found"] + counts["spurious"]
    assert 0 < counts["found"] < counts["true"]
    assert f"| {counts['found'] / counts['true']:.0%} of {counts['true']} nuclei |" in readme.read_text()
    assert f"| {counts['spurious'] / predicted:.0%} of {predicted} |" in readme.read_text()
    with Image.open(picture) as drawn:
        assert drawn.width > 2 * front_page.PANEL_PX


def test_every_bundle_of_the_collection_is_published():
    assert set(publish.FIGURES) == set(yaml.safe_load((ROOT / "bundles" / "_base" / "recipes.yaml").read_text()))


def test_a_missing_evaluation_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere has no dsb2018_unet, .*make table"):
        publish.publish(ROOT, tmp_path / "nowhere")
