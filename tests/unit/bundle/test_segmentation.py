import csv
import os
import shutil

import numpy as np
import pytest
import tifffile
from bundle_settings import QUICK, ROOT
from monai.bundle import ConfigWorkflow
from PIL import Image

from medseg_ext.bundle.causes import cause_of
from medseg_ext.bundle.find import find_bundle
from medseg_ext.bundle.segmentation import Segmented
from medseg_ext.cli.main import main
from medseg_ext.errors import DataError
from medseg_ext.folder_lock import LOCK_FILE
from medseg_ext.images.result_names import DONE_FILE
from medseg_ext.objects.training_images import UNLIKE
from medseg_ext.runs.provenance import read_provenance

BUNDLE = ROOT / "bundles" / "dsb2018_unet"
QUICK_OPTIONS = [word for key, value in QUICK.items() for word in (f"--{key}", str(value))]


@pytest.fixture
def images(tmp_path):
    """A folder with two images of bright discs, and another with one of the same name."""
    rows, columns = np.mgrid[:96, :128]
    for number, path in enumerate(("plate1/well.png", "plate1/other.png", "plate2/well.png")):
        disc = (rows - 40) ** 2 + (columns - 60) ** 2 < (12 + 2 * number) ** 2
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.fromarray((disc * 180 + 20).astype(np.uint8)).save(tmp_path / path)
    return tmp_path


def segment(*words, bundle="dsb2018_unet"):
    return main(["segment", *map(str, words), "--bundle", str(bundle), *QUICK_OPTIONS])


def summary(folder):
    with (folder / "summary.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_several_inputs_are_done_and_told_apart(images, capsys):
    assert segment(images / "plate1", images / "plate2" / "well.png", "--output", images / "out") == 0
    assert [row["id"] for row in summary(images / "out")] == ["other", "plate1_well", "plate2_well"]
    assert (images / "out" / "plate2_well_overlay.png").is_file()
    assert (images / "out" / "gallery.html").is_file()
    output = capsys.readouterr()
    assert "objects in 3 images" in output.out or "object in 3 images" in output.out
    assert str(images / "out") in output.out
    assert output.err == f"segmenting with {BUNDLE}\n"  # nothing of MONAI's, Ignite's or of warnings


@pytest.mark.parametrize("key", ["score_threshold 1.0", "min_area_px 100000"])
def test_which_objects_are_kept_does_not_change_how_large_they_are_taken_to_be(images, key):
    name, value = key.split()
    assert segment(images / "plate1", "--output", images / "few", f"--decoder#{name}", value) == 0
    assert segment(images / "plate1", "--output", images / "all") == 0
    few, all_of_them = summary(images / "few"), summary(images / "all")
    assert [row["object_diameter_px"] for row in few] == [row["object_diameter_px"] for row in all_of_them]
    assert [row["objects"] for row in few] != [row["objects"] for row in all_of_them]


def test_results_among_images_are_refused_in_one_line_before_the_network_is_built(images, capsys):
    assert segment(images / "plate1", "--output", images / "plate1") == 2
    told = capsys.readouterr().err.splitlines()
    assert told[-1].startswith(f"error: {images / 'plate1'} is the folder of the image")
    assert sorted(path.name for path in (images / "plate1").iterdir()) == ["other.png", "well.png"]


def test_the_objects_are_those_of_monais_own_workflow(images):
    assert segment(images / "plate1", "--output", images / "short", "--no-gallery") == 0
    by_monai(images / "plate1", images / "long")
    engines = [read_provenance(images / each)["engines"] for each in ("short", "long")]
    assert engines[0] == engines[1]
    assert engines[0][0]["name"] in ("openvino", "torch")
    assert engines[0][0]["version"]
    files = sorted(path.name for path in (images / "long").iterdir())
    assert files == sorted(path.name for path in (images / "short").iterdir())
    for name in sorted({*files} - {"provenance_inference.json", DONE_FILE}):  # which tell of each run by itself
        assert (images / "short" / name).read_bytes() == (images / "long" / name).read_bytes(), name


def by_monai(images, output):
    workflow = ConfigWorkflow(
        str(BUNDLE / "configs" / "inference.json"), workflow_type="infer", logging_file=False, output_dir=str(output),
        **QUICK, bundle_root=str(BUNDLE), dataset_dir=str(images),
    )  # fmt: skip
    workflow.initialize()
    workflow.run()
    workflow.finalize()


def test_results_of_images_of_the_same_names_are_not_overwritten_whichever_way_a_run_comes_in(
    images, monkeypatch, capsys
):
    def contents():
        return {path.name: path.read_bytes() for path in output.iterdir() if path.name != LOCK_FILE}

    monkeypatch.chdir(images)
    doors = ([], ["--resume"], ["--workers", "2"])
    for first in ("front door", "MONAI"):
        output = images / first
        if first == "MONAI":
            by_monai(images / "plate2", output)
            by_monai(images / "plate2", output)  # its own
        else:
            for same in (images / "plate2", "plate2/well.png"):
                assert segment(same, "--output", output) == 0
        before = contents()
        for words in doors:
            assert segment(images / "plate1" / "well.png", "--output", output, *words) == 2
            told = capsys.readouterr().err.splitlines()[-1]
            assert told.startswith(f"error: {output} holds the results of other images of the same names")
        with pytest.raises(RuntimeError) as caught:
            by_monai(images / "plate1" / "well.png", output)
        assert "of the same names" in str(cause_of(caught.value))
        assert contents() == before


def test_of_an_image_that_fails_now_nothing_stays_that_an_earlier_run_made(images):
    (other,) = (path for path in (images / "plate1").iterdir() if path.stem == "other")
    assert segment(images / "plate1", "--output", images / "twice", "--no-gallery") == 0
    other.write_bytes(other.read_bytes()[:-50])
    assert segment(images / "plate1", "--output", images / "twice", "--no-gallery") == 1
    assert [path.name for path in (images / "twice").glob("other*")] == []


def test_an_unreadable_image_is_told_and_the_others_are_done(images, capsys):
    (images / "plate1" / "broken.tif").write_text("no image")
    (images / "out").mkdir()
    (images / "out" / "gallery.html").write_text("of an earlier run")
    assert segment(images / "plate1", "--output", images / "out", "--no-gallery") == 1
    output = capsys.readouterr().out
    assert "in 2 images" in output
    assert "1 image could not be done:\n  broken.tif: is not an image" in output
    assert not (images / "out" / "gallery.html").exists()


def test_files_of_which_one_page_of_several_was_taken_are_told(images, capsys):
    stack = np.zeros((3, 96, 128), np.uint8)
    stack[:, 30:50, 40:60] = 200
    tifffile.imwrite(images / "plate2" / "stack.tif", stack, photometric="minisblack")
    assert segment(images / "plate2", "--output", images / "out", "--no-gallery", "--page", 1) == 1  # the PNG has one
    told = "of 3 pages page 1 was taken, counted from 0; --page chooses another: stack.tif\n"
    assert told in capsys.readouterr().out
    assert segment(images / "plate1", "--output", images / "others", "--no-gallery") == 0
    assert "pages" not in capsys.readouterr().out


def test_the_gallery_is_opened_in_the_browser(images, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    assert segment(images / "plate2", "--output", images / "a folder", "--open") == 0
    assert opened == [(images / "a folder" / "gallery.html").as_uri()]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["nowhere"], "nowhere does not exist: give an image"),
        (["plate1", "--decoder#min_area=3"], "decoder#min_area: no such key"),
        (["plate1", "--_desc_", "3"], "_desc_: no such key"),
        (["plate1", "--patchsize", "3"], "did you mean --patch_size"),
        (["plate1", "--tta", "plate2"], "--tta plate2: expected true or false"),
        (["--patch_size=[512, 512]"], "no image is named"),
        (["plate1", "--patchsize=[512, 512]"], "did you mean --patch_size"),
        (["plate1", "--tta"], "--tta: expected a value after it, such as --tta True"),
        (["plate1", "--batch-size", "2"], "did you mean --batch_size"),
        (["--page", "7", "plate1"], "--page: expected a value after it, such as --page True; images come first"),
        (["plate1", "--page", "7"], "choose another with --page"),
        (["plate1", "--output_dir", "x"], "give images, --bundle and --output"),
        (["plate1", "--open", "--no-gallery"], "leave out --no-gallery"),
        (["plate1", "--ckpt_path", "none.pt"], "none.pt does not exist; give --ckpt_path"),
    ],
)
def test_mistakes_end_in_one_line_and_2(images, monkeypatch, capsys, words, complaint):
    monkeypatch.chdir(images)
    assert segment(*words) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert complaint in last


def test_no_readable_image_is_an_error(images, capsys):
    (images / "broken.png").write_text("no image")
    assert segment(images / "broken.png", "--output", images / "out") == 2
    assert "none of 1 images can be read" in capsys.readouterr().err


def test_damaged_pixels_are_told_as_no_image_is(images, capsys):
    whole = (images / "plate1" / "other.png").read_bytes()
    (images / "plate1" / "cut.png").write_bytes(whole[:-60])
    assert segment(images / "plate1", "--output", images / "out") == 1
    assert "1 image could not be done:\n  cut.png: is not an image, or is cut short" in capsys.readouterr().out
    assert segment(images / "plate1" / "cut.png", "--output", images / "alone") == 2
    assert "none of 1 images is done; the first: cut.png: error: is not an image" in capsys.readouterr().err


def test_an_unknown_bundle_is_refused_with_those_that_there_are(images, capsys):
    assert segment(images / "plate1", bundle="dsb2018_unett") == 2
    error = capsys.readouterr().err
    assert "no bundle 'dsb2018_unett'; did you mean dsb2018_unet?" in error
    assert "\n    segpc2021_segformer\n" in error
    assert main(["segment", str(images / "plate1")]) == 2
    assert "which bundle?" in capsys.readouterr().err


def test_a_bundle_is_found_from_any_folder_by_name_or_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDSEG_BUNDLES", raising=False)
    assert find_bundle("dsb2018_unet") == BUNDLE
    assert find_bundle(os.path.relpath(BUNDLE)).resolve() == BUNDLE
    (tmp_path / "dsb2018_unet").mkdir()  # a folder of images, say: no bundle
    assert find_bundle("dsb2018_unet") == BUNDLE


def test_the_variable_comes_before_the_working_folder_and_that_before_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here, named = tmp_path / "bundles" / "dsb2018_unet", tmp_path / "named" / "dsb2018_unet"
    for folder, variable in ((here, ""), (named, os.pathsep.join(["nowhere", str(tmp_path / "named")]))):
        shutil.copytree(BUNDLE / "configs", folder / "configs")
        monkeypatch.setenv("MEDSEG_BUNDLES", variable)
        assert find_bundle("dsb2018_unet") == folder


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no bundle"):
        find_bundle(str(tmp_path))


def test_many_unreadable_images_are_not_all_listed(tmp_path):
    rows = [
        {"image": f"{number}.png", "id": str(number), "status": "error: broken", "remarks": ""} for number in range(25)
    ]
    lines = Segmented(tmp_path, rows, None).report()
    assert sum(line.endswith(": broken") for line in lines) == 20
    assert "  and 5 more, see summary.csv" in lines


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "nothing found in 1 image: 0.png"),
        (3, "nothing found in 3 images: 0.png, 1.png, 2.png"),
        (25, "nothing found in 25 images: 0.png, 1.png, 2.png and 22 more, see summary.csv"),
    ],
)
def test_of_images_in_which_nothing_is_found_the_first_are_named(tmp_path, count, told):
    rows = [{"image": f"{place}.png", "status": "ok", "objects": "0", "remarks": ""} for place in range(count)]
    assert told in Segmented(tmp_path, [*rows, {**rows[0], "image": "full.png", "objects": "7"}], None).report()


def test_images_that_are_unlike_in_several_ways_share_a_line(tmp_path):
    ways = [f"{UNLIKE}: its {way}; check the result" for way in ("colours differ", "contrast differs")]
    rows = [
        {"image": f"{place}.png", "status": "ok", "objects": "7", "remarks": remark}
        for place, remark in enumerate([ways[0], "", ways[1], ways[0]])
    ]
    assert (
        f"{UNLIKE}, see summary.csv, and check the result: 0.png, 2.png, 3.png"
        in Segmented(tmp_path, rows, None).report()
    )
    assert f"{ways[0]}: 0.png" in Segmented(tmp_path, rows[:2], None).report()


def test_results_of_other_images_are_refused_unless_they_are_to_be_overwritten(images, capsys):
    out = images / "out"
    assert segment(images / "plate1", "--output", out, "--no-gallery") == 0
    assert segment(images / "plate2", "--output", out, "--no-gallery") == 2
    assert "holds the results of other images with dsb2018_unet" in capsys.readouterr().err
    assert (out / "other_overlay.png").is_file()
    assert segment(images / "plate2", "--output", out, "--no-gallery", "--overwrite", "--pixel_size_um", "0.5") == 0
    assert {path.name.partition("_")[0] for path in out.glob("*_*") if path.suffix != ".json"} == {"well"}
    (row,) = summary(out)
    assert float(row["mean_area_um2"]) == pytest.approx(float(row["mean_area_px"]) / 4, rel=1e-4)
