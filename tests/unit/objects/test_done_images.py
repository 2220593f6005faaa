import json
import math
from pathlib import Path

import pytest

from medseg_ext.errors import DataError
from medseg_ext.images.result_names import DONE_FILE
from medseg_ext.objects.done_images import DoneImages, note_image
from medseg_ext.objects.formats import FORMATS, LABEL_MAP, ResultFormats

FILES = ResultFormats(formats=FORMATS)
SETTINGS = {"tta": False, "patch_size": [64, 64]}


@pytest.fixture
def items(tmp_path):
    """Three images, of which one's name holds bytes that are no text, and their results in `out`."""
    (tmp_path / "out").mkdir()
    items = [{"image": str(tmp_path / f"{name}.png"), "id": str(number)} for number, name in enumerate("ab\udcfc")]
    for item in items:
        Path(item["image"]).write_bytes(b"image")
        for path in FILES.paths(tmp_path / "out", item["id"]).values():
            path.write_bytes(b"result")
    return items


def record(folder, items, settings=SETTINGS, *, resume=False):
    done = DoneImages(folder, settings, formats=FILES)
    rows = done.resume(items) if resume else {}
    done.start()
    for item in items:
        if item["id"] not in rows:
            row = {"id": item["id"], "objects": 3, "mean_area_px": math.nan, "scale": 1 / 3}
            done.add(note_image(item, row, output_dir=folder, formats=FILES))
    done.close()


def resumed(folder, items, settings=SETTINGS):
    return DoneImages(folder, settings, formats=FILES).resume(items)


def test_rows_come_back_as_they_were(items, tmp_path):
    record(tmp_path / "out", items)
    rows = resumed(tmp_path / "out", items)
    assert list(rows) == ["0", "1", "2"]
    assert rows["2"]["scale"] == 1 / 3
    assert math.isnan(rows["2"]["mean_area_px"])


def test_what_was_noted_before_stays_noted(items, tmp_path):
    record(tmp_path / "out", items[:1])
    record(tmp_path / "out", items, resume=True)
    assert set(resumed(tmp_path / "out", items)) == {"0", "1", "2"}
    record(tmp_path / "out", items[:1])
    assert set(resumed(tmp_path / "out", items)) == {"0"}


@pytest.mark.parametrize(
    "change",
    [
        lambda image, result: image.write_bytes(b"other image"),
        lambda image, result: image.write_bytes(b"IMAGE"),  # as long, but at another time
        lambda image, result: image.unlink(),
        lambda image, result: result.write_bytes(b""),
        lambda image, result: result.unlink(),
    ],
)
@pytest.mark.parametrize("ending", range(len(FORMATS) + 1))
def test_an_image_whose_files_have_changed_is_done_again(items, tmp_path, change, ending):
    record(tmp_path / "out", items)
    change(Path(items[1]["image"]), [*FILES.paths(tmp_path / "out", "1").values()][ending])
    assert set(resumed(tmp_path / "out", items)) == {"0", "2"}


@pytest.mark.parametrize("change", [Path.unlink, lambda chunk: chunk.write_bytes(b"")])
@pytest.mark.parametrize("of", ["image", "result"])
def test_an_image_is_done_again_if_a_chunk_has_changed_but_not_for_labels_in_it(tmp_path, of, change):
    formats = ResultFormats("ome-zarr", ())
    (tmp_path / "out").mkdir()
    item = {"image": str(tmp_path / "a.zarr"), "id": "a"}
    label_map = formats.paths(tmp_path / "out", "a")[LABEL_MAP]
    chunks = {"image": Path(item["image"], "0", "0"), "result": label_map / "0" / "0"}
    for chunk in chunks.values():
        chunk.parent.mkdir(parents=True)
        chunk.write_bytes(b"chunk")
    done = DoneImages(tmp_path / "out", SETTINGS, formats=formats)
    done.start()
    done.add(note_image(item, {"id": "a"}, output_dir=tmp_path / "out", formats=formats))
    done.close()
    Path(item["image"], "labels", "nucleus").mkdir(parents=True)
    Path(item["image"], "labels", "nucleus", "0").write_bytes(b"label")
    assert set(DoneImages(tmp_path / "out", SETTINGS, formats=formats).resume([item])) == {"a"}
    change(chunks[of])
    assert DoneImages(tmp_path / "out", SETTINGS, formats=formats).resume([item]) == {}


def test_another_image_of_the_same_id_is_not_taken_for_the_one_that_is_done(items, tmp_path):
    record(tmp_path / "out", items)
    assert set(resumed(tmp_path / "out", [items[0], {**items[1], "id": "2"}])) == {"0"}


@pytest.mark.parametrize("length", range(0, 400, 7))
def test_a_file_that_is_cut_off_anywhere_gives_the_images_that_stand_in_it(items, tmp_path, length):
    record(tmp_path / "out", items)
    content = (tmp_path / "out" / DONE_FILE).read_bytes()
    (tmp_path / "out" / DONE_FILE).write_bytes(content[:-length] if length else content)
    whole = content[: len(content) - length].split(b"\n")
    expected = {str(number) for number in range(3) if any(f'"id":"{number}"'.encode() in line for line in whole[:-1])}
    found = set(resumed(tmp_path / "out", items))
    assert found - expected <= {str(len(expected))}  # a line may be whole but for its end
    assert found >= expected
    record(tmp_path / "out", items, resume=True)
    assert set(resumed(tmp_path / "out", items)) == {"0", "1", "2"}


def test_other_settings_are_refused_with_the_difference(items, tmp_path):
    record(tmp_path / "out", items)
    with pytest.raises(DataError, match=r"of other settings \(tta was false, is true\): give the same ones"):
        resumed(tmp_path / "out", items, {**SETTINGS, "tta": True})
    with pytest.raises(DataError, match=r"\(tta was false, is not there; seed was not there, is 0\)"):
        resumed(tmp_path / "out", items, {"patch_size": [64, 64], "seed": 0})


def test_without_notes_all_images_are_to_be_done(items, tmp_path):
    assert resumed(tmp_path / "out", items) == {}
    (tmp_path / "out" / DONE_FILE).write_text(json.dumps({"settings": SETTINGS})[:10])
    assert resumed(tmp_path / "out", items) == {}
