"""What is exported for collections of models is valid there, says its licence, and runs to the network's own output."""

import re
import zipfile

import numpy as np
import pytest
import torch
import yaml
from bundle_settings import ROOT
from huggingface_hub import ModelCard

from medseg_ext.bundle.export_bioimageio import export_bioimageio
from medseg_ext.bundle.export_huggingface import export_huggingface
from medseg_ext.bundle.exported_networks import load_eager
from medseg_ext.cli.main import main
from medseg_ext.errors import DataError

LICENCES = {"dsb2018_unet": "apache-2.0", "segpc2021_unet": "cc-by-nc-sa-4.0"}


@pytest.mark.slow
@pytest.mark.parametrize("name", LICENCES)
def test_the_model_zoo_s_library_runs_every_form_of_an_export_to_its_test_output(name, tmp_path, monkeypatch):
    core = pytest.importorskip("bioimageio.core", reason="pip install 'medseg-ext[bioimageio]'")
    monkeypatch.setenv("BIOIMAGEIO_CACHE_PATH", str(tmp_path / "cache"))
    file = export_bioimageio(ROOT / "bundles" / name, tmp_path)
    for form in ("torchscript", "onnx"):
        summary = core.test_model(file, weight_format=form)
        assert summary.status in ("passed", "valid-format"), summary.format()
        assert not [error for detail in summary.details for error in detail.errors]
    with zipfile.ZipFile(file) as archive:
        description = yaml.safe_load(archive.read("rdf.yaml"))
        assert b"data_license.txt" in archive.read("README.md")
        output = np.load(archive.open("test_output.npy"))
    assert description["license"].lower() == LICENCES[name]
    foreground = output[0, :-1].argmax(axis=0) > 0
    assert 0.01 < foreground.mean() < 0.9  # there is something to reproduce
    assert main(["export", str(ROOT / "bundles" / name), "--output", str(tmp_path), "--format", "bioimageio"]) == 2


def test_mask_rcnn_is_refused_for_the_model_zoo_with_the_reason(tmp_path):
    with pytest.raises(DataError, match=r"Mask R-CNN finds boxes, .*: export a bundle of another network"):
        export_bioimageio(ROOT / "bundles" / "dsb2018_mask_rcnn", tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", LICENCES)
def test_a_folder_for_hugging_face_has_a_valid_card_and_its_snippet_gives_the_bundle_s_network(
    name, tmp_path, monkeypatch
):
    bundle = ROOT / "bundles" / name
    folder = export_huggingface(bundle, tmp_path)
    card = ModelCard.load(folder / "README.md")
    assert card.data.license == LICENCES[name]
    assert {"microscopy", "monai"} <= set(card.data.tags)
    figures = {result.metric_type: result.metric_value for result in card.data.eval_results}
    row = re.search(r"^\| `ap_50` \| ([\d.]+) \|", (bundle / "docs/README.md").read_text(), re.MULTILINE)
    assert figures["ap_50"] == float(row[1])
    links = re.findall(r"\]\((?!http|#)([^)]+)\)", card.text)
    assert links
    assert all((folder / link).is_file() for link in links)
    monkeypatch.chdir(folder)
    (snippet,) = re.findall(r"```python\n(.*?)```", card.text, re.DOTALL)
    names = {}
    exec(snippet, names)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(names["network"](image), load_eager(bundle)(image))
    with pytest.raises(DataError, match=r"is there already; give .* --force"):
        export_huggingface(bundle, tmp_path)
    export_huggingface(bundle, tmp_path, force=True)


def test_a_folder_that_is_no_export_is_not_replaced(tmp_path):
    (tmp_path / "dsb2018_unet").mkdir()
    (tmp_path / "dsb2018_unet" / "mine.txt").touch()
    with pytest.raises(DataError, match="is no such export"):
        export_huggingface(ROOT / "bundles" / "dsb2018_unet", tmp_path, force=True)
    assert (tmp_path / "dsb2018_unet" / "mine.txt").exists()
