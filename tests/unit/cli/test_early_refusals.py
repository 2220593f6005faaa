"""What needs no network is refused before PyTorch and MONAI are loaded, with a remedy; and what is misspelt is told."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from medseg_ext.cli.main import main
from medseg_ext.cli.workflow_command import plain_settings
from medseg_ext.datasets.image_headers import refuse_unreadable_images
from medseg_ext.errors import DataError
from medseg_ext.images.pixel_size import refuse_unknown_sizes
from medseg_ext.networks.weight_files import refuse_no_weights
from medseg_ext.networks.weights import read_weights

MISTAKES = {  # words of each, and what is told
    "in the images' folder": ("segment im --output im", "im is the folder of the image"),
    "among other images": ("segment im --output others", "holds the results of other images"),
    "of another bundle": ("segment im --output another", "holds the results of another bundle, segpc2021_unet"),
    "no such page": ("segment im --output out --page 3", "a.png: has no page 3"),
    "no pixel size": ("segment im --output out --object_diameter_um 8", "how large a pixel is: give --pixel_size_um"),
    "misspelt weights": ("segment im --output out --ckpt_path run/modle.pt", "did you mean run/model.pt?"),
    "folder of weights": (
        "segment im --output out --ckpt_path run",
        "is a folder: give the weights in it, run/model.pt",
    ),
    "checkpoint": (
        "segment im --output out --ckpt_path run/checkpoint.pt",
        "is the state of a training; give model.pt",
    ),
    "evaluated weights": ("evaluate --data data --output out --ckpt_path run/modle.pt", "did you mean run/model.pt?"),
    "nothing to evaluate": ("evaluate --data data --output out --split validation", "no image in its section"),
    "weights to start from": ("train --data full --output out --ckpt_path none.pt", "none.pt does not exist; give"),
    "earlier training": ("train --data full --output run", "run holds model.pt, checkpoint.pt of an earlier training"),
    "both options": ("train --data full --output run --resume auto --overwrite True", "give one of them"),
    "nothing to train on": ("train --data data --output out", "dataset.json has no image in its section 'training'"),
    "copy of a bundle": ("ship run/model.pt others --from dsb2018_unet", "others exists already: give another folder"),
    "no bundle": ("ship run/model.pt nowhere", "nowhere does not exist: give the folder of a bundle, .* --from BUNDLE"),
    "shipped folder": ("ship run nowhere --from dsb2018_unet", "is a folder: give the weights in it, run/model.pt"),
    "shipped state": (
        "ship run/checkpoint.pt nowhere --from dsb2018_unet",
        "is the state of a training; give model.pt",
    ),
    "earlier export": ("export dsb2018_unet --output exports", "is there already; give another folder .* or --force"),
    "no export": ("export dsb2018_unet --format huggingface --output exports", "is no such export, so it is not"),
}
RUN = """
import contextlib, io, json, sys
from medseg_ext.cli.main import main

told = {}
for name, words in json.load(sys.stdin).items():
    with contextlib.redirect_stderr(io.StringIO()) as error:
        status = main(words)
    told[name] = [status, error.getvalue(), sorted({"torch", "torchvision", "monai", "ignite"} & sys.modules.keys())]
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mistakes")
    for name in ("im", "others", "another", "run", "data", "full", "exports"):
        (folder / name).mkdir()
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(folder / "im" / "a.png")
    for name, image, bundle in (("others", "b", "dsb2018_unet"), ("another", "a", "segpc2021_unet")):
        (folder / name / "summary.csv").write_text(f"image,id,status\n{image}.png,{image},ok\n")
        (folder / name / "provenance_inference.json").write_text(json.dumps({"bundle": bundle}))
    state = torch.nn.Linear(2, 2).state_dict()
    torch.save(state, folder / "run" / "model.pt")
    torch.save({"network": state, "optimizer": {"state": {}}}, folder / "run" / "checkpoint.pt")
    item = {"id": "a", "image": "images/a.png", "instances": "instances/a.png", "classes": "classes/a.png"}
    sections = {"training": [], "validation": [], "testing": [item]}
    dataset = {"class_names": ["background", "nucleus"], **sections}
    (folder / "data" / "dataset.json").write_text(json.dumps(dataset))
    (folder / "full" / "dataset.json").write_text(json.dumps({**dataset, "training": [item], "validation": [item]}))
    configs = folder / "exports" / "dsb2018_unet" / "configs"
    configs.mkdir(parents=True)
    (configs / "metadata.json").write_text("{}")
    before = sorted(folder.rglob("*"))
    words = {name: each.split() for name, (each, _) in MISTAKES.items()}
    for each in words.values():
        each += [] if each[0] in ("ship", "export") else ["--bundle", "dsb2018_unet"]
    result = subprocess.run(
        [sys.executable, "-c", RUN], cwd=folder, input=json.dumps(words), capture_output=True, text=True, check=True
    )
    assert sorted(folder.rglob("*")) == before
    return json.loads(result.stdout)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_that_need_no_network_are_refused_before_it_is_loaded_and_nothing_is_written(told, name):
    status, error, loaded = told[name]
    assert (status, loaded) == (2, [])
    assert len(error.splitlines()) == 1
    assert error.startswith("error: ")
    assert re.search(MISTAKES[name][1], error)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["segment", "x", "--bundel", "dsb2018_unet"], "--bundel: no such option; did you mean --bundle?"),
        (["segment", "x", "--bundel=dsb2018_unet"], "--bundel: no such option; did you mean --bundle?"),
        (["segment", "x", "--bundle", "dsb2018_unet", "--object_diameter", "30"], "did you mean --object_diameter_px?"),
        (["segmnt", "x"], "there is no command 'segmnt'; did you mean segment?"),
        (["prepare", "x", "y", "--licnse", "CC0"], "--licnse: no such option; did you mean --licen"),
        (["export", "dsb2018_unet", "--output", "x", "--fromat", "monai"], "did you mean --format?"),
        (["segment", "x"], "as --bundle NAME. There are, in "),
    ],
)
def test_what_is_misspelt_is_told_by_what_may_be_meant(words, told, capsys):
    try:
        status = main(words)
    except SystemExit as end:  # as argparse ends
        status = end.code
    assert status == 2
    assert told in capsys.readouterr().err


def test_a_licence_may_be_spelt_with_an_s(tmp_path, capsys):
    assert main(["prepare", str(tmp_path / "none"), str(tmp_path / "out"), "--license", "CC0-1.0"]) == 2
    assert "none" in capsys.readouterr().err


def test_what_one_image_allows_is_left_to_the_workflow(tmp_path):
    """Only where all images fail is a run refused: others are done, and the failed ones told."""
    items = [{"image": str(tmp_path / name), "id": name} for name in ("a.png", "b.tif")]
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(items[0]["image"])
    pages = np.zeros((2, 32, 32), np.uint8)
    resolution = (20_000, 20_000)  # pixels a centimetre
    tifffile.imwrite(items[1]["image"], pages, photometric="minisblack", resolution=resolution, resolutionunit=3)
    refuse_unreadable_images(items, page=1)
    refuse_unknown_sizes([item["image"] for item in items])
    with pytest.raises(DataError, match=r"none of 1 images can be read; the first: .*a\.png: has no page 1"):
        refuse_unreadable_images(items[:1], page=1)
    with pytest.raises(DataError, match=r"a\.png: its file does not tell .* \(nor does any of the other 1\)"):
        refuse_unknown_sizes([items[0]["image"]] * 2)


@pytest.mark.parametrize("zipped", [True, False])
def test_the_state_of_a_training_is_known_however_it_was_saved(tmp_path, zipped):
    path, state = tmp_path / "any.pt", torch.nn.Linear(2, 2).state_dict()
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    refuse_no_weights(path, remedy="")
    torch.save({"network": state, "optimizer": {}}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match="is the state of a training"):
        read_weights(path, torch.nn.Linear(2, 2), remedy="")
    if zipped:
        with pytest.raises(DataError, match="is the state of a training"):
            refuse_no_weights(path, remedy="")


def test_a_config_that_resumes_by_itself_is_not_asked_for_an_option(tmp_path):
    for resume, told in (("$True", {}), (True, {"resume": True})):
        (tmp_path / "configs").mkdir(exist_ok=True)
        config = {"_desc_": {"resume": {"type": "boolean"}}, "resume": resume}
        (tmp_path / "configs" / "train.json").write_text(json.dumps(config))
        assert plain_settings(tmp_path, "train", {}) == told
