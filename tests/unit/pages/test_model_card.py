import json
import shutil

import pytest
from compare_cases import UNET, evaluate
from PIL import Image

from medseg_ext.cli.main import main
from medseg_ext.errors import DataError
from medseg_ext.pages.found_and_missed import GAP_PX
from medseg_ext.pages.marked_parts import CLOSING, OPENING, check_sections, text_outside
from medseg_ext.pages.model_card import write_card

SECTIONS = ("metrics", "kinds", "samples", "worst")
# A square of 10 px that is shifted by 0, 1, 2, 3 px has an IoU of 1, 9 / 11, 2 / 3, 7 / 13.
WORST_FIRST = ["d", "c", "b"]


def page_with(*sections):
    return "# Card\n" + "".join(f"\n{OPENING.format(name)}\n{CLOSING}\n\ntext after {name}\n" for name in sections)


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, intervals_of_few_images):
    return evaluate(tmp_path_factory.mktemp("runs") / "unet", UNET, curve=[0.3, 0.7])


@pytest.fixture
def bundle(tmp_path, evaluation):
    folder = tmp_path / "toy_unet"
    (folder / "configs").mkdir(parents=True)
    (folder / "docs").mkdir()
    metadata = {"name": "U-Net", "data_source": "Toy squares, CC0 1.0", "kinds": {"fluorescence": "bright on dark"}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "evaluate.json").write_text(json.dumps({"class_names": ["background", "nucleus"]}))
    (folder / "docs" / "README.md").write_text(page_with(*SECTIONS))
    shutil.copy(evaluation / "training_curve.csv", folder / "docs" / "iou_curve.csv")
    return folder


def card_of(bundle):
    return (bundle / "docs" / "README.md").read_text()


def section_of(bundle, name):
    return card_of(bundle).split(OPENING.format(name))[1].split(CLOSING)[0]


def files_of(bundle):
    return {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}


def test_a_note_stands_below_the_metrics_and_goes_with_the_next_card(bundle, evaluation):
    write_card(bundle, evaluation, note="Others report 0.82.")
    assert section_of(bundle, "metrics").rstrip().endswith("|\n\nOthers report 0.82.")
    write_card(bundle, evaluation)
    assert "0.82" not in section_of(bundle, "metrics").split("|")[-1]


def test_tables_hold_what_metrics_json_says(bundle, evaluation):
    write_card(bundle, evaluation)
    content = json.loads((evaluation / "metrics.json").read_text())
    rows = [line for line in section_of(bundle, "metrics").splitlines() if line.startswith("| `")]
    assert len(rows) == 16
    for row in rows:
        name, value, bounds = (cell.strip(" `") for cell in row.strip("|").split("|"))
        score = content["metrics"][name]
        assert value == f"{score['value']:.3f}"
        assert bounds == "{:.3f} to {:.3f}".format(*score["interval_95"])
    (row,) = (line for line in section_of(bundle, "kinds").splitlines() if "bright on dark" in line)
    score = content["by_kind"]["fluorescence"]["foreground_iou"]
    text = "{:.3f} ({:.3f} to {:.3f})".format(score["value"], *score["interval_95"])
    assert row.startswith(f"| fluorescence: bright on dark | 4 | {text} |")


def test_a_card_tells_how_far_scores_are_right(bundle, evaluation, tmp_path):
    assert "Scores" not in section_of(bundle, "metrics")  # of an evaluation that knows none
    folder = shutil.copytree(evaluation, tmp_path / "scored")
    content = json.loads((folder / "metrics.json").read_text())
    bins = [{"low": low, "high": low + 0.1, "objects": 100 * n, "mean_score": low, "right": 0.9} for n, low in
            ((2, 0.6), (3, 0.8))]  # fmt: skip
    error = {"value": 0.0512, "interval_95": [None, None]}
    content["scores"] = {"objects": 500, "reliability": bins, "expected_calibration_error": error}
    (folder / "metrics.json").write_text(json.dumps(content))
    write_card(bundle, folder)
    told = section_of(bundle, "metrics")
    assert "of 300 objects with a score of about 0.80, 90 % are right" in told
    assert "expected calibration error 0.051 (too few images), of 500 objects." in told


def test_the_worst_images_are_those_of_the_lowest_iou_the_lowest_first(bundle, evaluation):
    write_card(bundle, evaluation)
    lines = [line for line in section_of(bundle, "worst").splitlines() if line[:1].isdigit()]
    assert lines == [
        f"{number}. `{name}` (fluorescence: bright on dark): `foreground_iou` {iou}, `ap_50` 1.000"
        for number, (name, iou) in enumerate(zip(WORST_FIRST, ["0.538", "0.667", "0.818"], strict=True), start=1)
    ]


def test_typical_images_come_from_low_to_high(bundle, evaluation):
    write_card(bundle, evaluation)
    values = [
        float(line.split("`foreground_iou` ")[1].split(",")[0])
        for line in section_of(bundle, "samples").splitlines()
        if line[:1].isdigit()
    ]
    assert values == sorted(values)
    assert len(set(values)) == 3


def test_pictures_are_small_and_stand_with_source_and_licence(bundle, evaluation):
    written = write_card(bundle, evaluation)
    for name, path in zip(("samples", "worst"), written.files[1:], strict=True):
        assert f"]({path.name})" in section_of(bundle, name)
        assert "Toy squares, CC0 1.0" in section_of(bundle, name)
        assert path.stat().st_size < 400_000
        with Image.open(path) as picture:
            assert picture.width == 3 * 300 + 2 * GAP_PX


@pytest.mark.parametrize(("data_set", "source"), [("DSB2018", "Toy squares, CC0 1.0"), ("Liver", "DSB2018")])
def test_images_of_another_data_set_than_the_bundles_are_called_by_its_name(bundle, evaluation, data_set, source):
    path = bundle / "configs" / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_set": data_set}))
    write_card(bundle, evaluation)
    assert f"Images: {source};" in section_of(bundle, "samples")


def test_evaluations_of_other_images_have_their_rows_and_stay_where_none_is_given(bundle, evaluation, tmp_path):
    (bundle / "docs" / "README.md").write_text(page_with(*SECTIONS, "elsewhere"))
    other = evaluate(tmp_path / "other", {"a": 0, "b": 5})
    write_card(bundle, evaluation, elsewhere={"another laboratory": other})
    scores = json.loads((other / "metrics.json").read_text())["metrics"]
    (row,) = (line for line in section_of(bundle, "elsewhere").splitlines() if line.startswith("| another laboratory"))
    assert row.startswith(f"| another laboratory | 2 | {scores['foreground_iou']['value']:.3f} (")
    assert row.endswith("| undefined |")  # these images were not scaled
    before = section_of(bundle, "elsewhere")
    write_card(bundle, evaluation)
    assert section_of(bundle, "elsewhere") == before


def test_a_second_run_changes_nothing(bundle, evaluation):
    write_card(bundle, evaluation)
    files = files_of(bundle)
    write_card(bundle, evaluation)
    assert files_of(bundle) == files


def test_what_a_person_wrote_stays_as_it_is(bundle, evaluation):
    own = text_outside(card_of(bundle))
    write_card(bundle, evaluation)
    assert text_outside(card_of(bundle)) == own
    assert all(f"text after {name}" in own for name in SECTIONS)


def test_tables_stand_between_blank_lines(bundle, evaluation):
    write_card(bundle, evaluation)
    for name in SECTIONS:
        assert section_of(bundle, name).startswith("\n\n")
        assert section_of(bundle, name).endswith("\n\n")


@pytest.mark.parametrize("missing", SECTIONS)
def test_a_card_without_its_marker_lines_is_refused_with_the_lines_to_add(bundle, evaluation, missing, capsys):
    card = bundle / "docs" / "README.md"
    card.write_text(page_with(*(name for name in SECTIONS if name != missing)))
    files = files_of(bundle)
    assert main(["card", str(bundle), str(evaluation)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(card) in error
    assert f"`<!-- card: {missing} -->` and `<!-- /card -->`" in error
    assert files_of(bundle) == files


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("<!-- card: a -->\n", r"page\.md: `<!-- card: a -->` has no end"),
        ("<!-- card: a -->\n<!-- card: b -->\n<!-- /card -->\n", r"line 2: expected `<!-- /card -->` after"),
        ("text\n<!-- /card -->\n", r"line 2: expected no `<!-- /card -->`"),
        ("<!-- card: a -->\n<!-- /card -->\n" * 2, "line 3: `<!-- card: a -->` is there twice"),
        ("\n<!-- card: c -->\n<!-- /card -->\n", "line 2: nothing fills `<!-- card: c -->`; the parts are a, b"),
    ],
)
def test_marker_lines_that_do_not_fit_are_refused_by_line(tmp_path, page, message):
    (tmp_path / "page.md").write_text(page)
    with pytest.raises(DataError, match=message):
        check_sections(tmp_path / "page.md", ["a", "b"])
    with pytest.raises(DataError, match=r"nowhere\.md is missing"):
        check_sections(tmp_path / "nowhere.md", ["a"])


def test_images_without_kinds_need_no_part_for_them(bundle, tmp_path):
    (bundle / "docs" / "iou_curve.csv").unlink()
    evaluation = evaluate(tmp_path / "run", UNET, kind="")
    with pytest.raises(DataError, match="nothing fills `<!-- card: kinds -->`"):
        write_card(bundle, evaluation)
    (bundle / "docs" / "README.md").write_text(page_with("metrics", "samples", "worst"))
    write_card(bundle, evaluation)
    assert "1. `d`: `foreground_iou`" in section_of(bundle, "worst")


def test_an_image_of_which_the_card_says_nothing_is_named(bundle, evaluation, capsys):
    card = bundle / "docs" / "README.md"
    card.write_text(card_of(bundle) + "\n- `d`: far off.\n- `b`: nearly right.\n")
    assert main(["card", str(bundle), str(evaluation)]) == 0
    (note,) = (line for line in capsys.readouterr().out.splitlines() if "sentence" in line)
    assert note.startswith(f"{card}: its own text says nothing of `c`")


def test_an_evaluation_of_another_model_is_refused(bundle, tmp_path):
    with pytest.raises(DataError, match=r"is an evaluation of SegFormer .*toy_unet is U-Net"):
        write_card(bundle, evaluate(tmp_path / "run", UNET, model="SegFormer"))


def test_an_evaluation_of_another_data_set_is_refused(bundle, tmp_path):
    with pytest.raises(DataError, match=r"\['background', 'cell'\].*give an evaluation of this bundle"):
        write_card(bundle, evaluate(tmp_path / "run", UNET, class_names=["background", "cell"]))


def test_an_evaluation_of_other_than_test_images_is_refused(bundle, tmp_path):
    with pytest.raises(DataError, match="is of the validation images"):
        write_card(bundle, evaluate(tmp_path / "run", UNET, facts={"section": "validation"}))


def test_an_evaluation_of_other_weights_is_refused_by_their_curve(bundle, tmp_path):
    with pytest.raises(DataError, match=r"training_curve\.csv is not .*iou_curve\.csv"):
        write_card(bundle, evaluate(tmp_path / "run", UNET, curve=[0.3, 0.8]))


@pytest.mark.parametrize("content", ["", "{}", "[]"])
def test_a_broken_metrics_json_is_named(bundle, evaluation, tmp_path, content):
    folder = shutil.copytree(evaluation, tmp_path / "broken")
    (folder / "metrics.json").write_text(content)
    with pytest.raises(DataError, match=r"metrics\.json cannot be read .*again"):
        write_card(bundle, folder)


def test_a_card_whose_own_text_is_of_other_images_than_the_evaluation_is_told(bundle, evaluation):
    card = bundle / "docs" / "README.md"
    assert write_card(bundle, evaluation).of_other_images == []
    card.write_text(f"On the 4 test images.\n{card.read_text()}")
    assert write_card(bundle, evaluation).of_other_images == []
    card.write_text(f"530 images to train, 66 to test.\n{card.read_text()}")
    (told,) = write_card(bundle, evaluation).of_other_images
    assert "says 4 and 66 test images, and the evaluation is of 4" in told
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    (bundle / "configs" / "metadata.json").write_text(json.dumps(metadata | {"data_set": "another"}))
    assert any("on DSB2018" in line and "another" in line for line in write_card(bundle, evaluation).report())
