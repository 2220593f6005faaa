"""A data set is prepared of the channels that a person names, and says which they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from medseg_ext.cli.main import main
from medseg_ext.images.read import read_prepared, read_rgb
from medseg_ext.packing.packed_data_set import pack_data

FOUR = np.random.default_rng(0).integers(0, 256, (4, 40, 56)).astype(np.uint8)
NAMES = ["DAPI", "GFP", "Cy3", "Cy5"]


@pytest.fixture
def raw(tmp_path):
    (folder := tmp_path / "raw").mkdir()
    labels = np.zeros((40, 56), np.uint16)
    labels[5:15, 5:15], labels[20:32, 20:40] = 1, 2
    for name in ("a", "b", "c"):
        metadata = {"axes": "CYX", "Channel": {"Name": NAMES}}
        tifffile.imwrite(folder / f"{name}.ome.tif", FOUR, ome=True, photometric="minisblack", metadata=metadata)
        tifffile.imwrite(folder / f"{name}_mask.tif", labels)
    return folder


@pytest.mark.parametrize(
    ("asked", "kept", "shown"),
    [("DAPI,Cy5", ["DAPI", "Cy5"], [0, 3]), ("[2]", [2], [2]), ("3,0,1,2", [3, 0, 1, 2], [3, 0, 1, 2]),
     ("GFP", "GFP", [1, 1, 1])],
)  # fmt: skip
def test_the_channels_are_kept_in_their_order(asked, kept, shown, raw, tmp_path):
    out = tmp_path / "out"
    assert main(["prepare", str(raw), str(out), "--channel", asked, "--fractions", "0.4", "0.3", "0.3"]) == 0
    dataset = json.loads((out / "dataset.json").read_text())
    assert dataset["channel"] == kept
    item = dataset["training"][0]
    pixels = read_rgb(out / item["image"], channel=kept if isinstance(kept, list) else None)
    np.testing.assert_array_equal(pixels, np.moveaxis(FOUR[shown], 0, -1) / np.float32(255))


def test_a_channel_that_is_not_there_names_the_image(raw, tmp_path, capsys):
    assert main(["prepare", str(raw), str(tmp_path / "out"), "--channel", "DAPI,RFP"]) == 2
    told = capsys.readouterr().err
    assert "a.ome.tif has no channel named 'RFP'" in told
    assert not (tmp_path / "out" / "dataset.json").exists()


@pytest.mark.parametrize(("asked", "again"), [("DAPI,Cy5", ["DAPI", "Cy5"]), ("[2,0]", [2, 0])])
def test_what_was_prepared_is_read_by_the_same_choice(asked, again, raw, tmp_path):
    out = tmp_path / "out"
    assert main(["prepare", str(raw), str(out), "--channel", asked, "--fractions", "0.4", "0.3", "0.3"]) == 0
    image = json.loads((out / "dataset.json").read_text())["training"][0]["image"]
    name = Path(image).name.replace(".tif", ".ome.tif")
    np.testing.assert_array_equal(read_rgb(out / image, channel=again), read_rgb(raw / name, channel=again))


@pytest.mark.parametrize(("asked", "shown"), [("[2]", [2]), ("[Cy3]", [2]), ("2,0", [2, 0]), ("3,0,1,2", [3, 0, 1, 2])])
def test_any_number_of_channels_is_shown_checked_and_packed(asked, shown, raw, tmp_path):
    out, packed = tmp_path / "out", tmp_path / "packed"
    words = ["prepare", raw, out, "--channel", asked, "--preview", "--fractions", 0.4, 0.3, 0.3]
    assert main([str(word) for word in words]) == 0
    assert (out / "preview.html").is_file()
    assert main(["check", str(out), "--workers", "1", "--output", str(tmp_path / "checked")]) in (0, 1)
    dataset = pack_data(out, packed, packed, quality=90)
    pixels = read_prepared(packed / dataset["training"][0]["image"])
    np.testing.assert_array_equal(pixels, np.moveaxis(FOUR[shown], 0, -1) / np.float32(255))


def test_the_same_input_gives_the_same_bytes(raw, tmp_path):
    for folder in ("one", "other"):
        words = ["prepare", raw, tmp_path / folder, "--channel", "DAPI,GFP", "--fractions", 0.4, 0.3, 0.3]
        assert main([str(word) for word in words]) == 0
    one, other = (sorted((tmp_path / folder).rglob("*.tif")) for folder in ("one", "other"))
    assert one
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
