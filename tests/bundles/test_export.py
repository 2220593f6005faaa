"""Every bundle exports to a folder that works alone, in every form."""

import re
import shutil
import zipfile
from pathlib import Path

import pytest
import tifffile
import torch
import torch.nn.functional as F
from bundle_settings import QUICK, ROOT, TWINS_ARE_SLOW
from monai.bundle import ConfigParser, create_workflow, scripts

from medseg_ext.bundle import export
from medseg_ext.bundle.export import export_bundle
from medseg_ext.bundle.exported_networks import FORMS, read_inference_config
from medseg_ext.cli.main import main
from medseg_ext.errors import DataError
from medseg_ext.images.read import read_rgb
from medseg_ext.networks.weights import read_weights

OVERLAYS = sorted(ROOT.glob("bundles/*/configs/inference_trt.json"))
SMALLEST = ROOT / "bundles" / "dsb2018_unetplusplus"


@pytest.fixture(params=TWINS_ARE_SLOW, ids=lambda path: path.name)
def bundle(request):
    """Folder of a bundle; those of Mask R-CNN where Detectron2 is installed."""
    if request.param.name.endswith("mask_rcnn"):
        pytest.importorskip("detectron2")
    return request.param


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Export a bundle, once for all tests; returns its new folder."""
    folder, done = tmp_path_factory.mktemp("exports"), {}

    def export_once(bundle: Path) -> Path:
        if bundle not in done:
            done[bundle] = export_bundle(bundle, folder).folder
        return done[bundle]

    return export_once


@pytest.fixture
def exported(bundle, exports):
    return exports(bundle)


def sample_images(dataset_dir: Path, height: int, width: int) -> torch.Tensor:
    """Two images of the sample in one batch, resized: noise would show nothing where there is nothing found."""
    images = []
    for path in sorted((dataset_dir / "images").iterdir())[:2]:
        image = torch.from_numpy(read_rgb(path).copy()).permute(2, 0, 1)
        image = (image - image.min()) / (image.max() - image.min())
        images.append(F.interpolate(image[None], size=(height, width), mode="bilinear")[0])
    return torch.stack(images)


def test_every_form_gives_the_output_of_the_shipped_network_at_other_sizes(bundle, exported, dataset_dir):
    eager = FORMS["eager"](bundle)  # of the repository's bundle, not of the export
    forms = {form: FORMS[form](exported) for form in ("torchscript", "onnx") if form not in missing_forms(bundle)}
    decode = read_inference_config(bundle).get_parsed_content("decoder")
    n_objects = 0
    for height, width in ((160, 224), (384, 320), (64, 96)):
        image = sample_images(dataset_dir, height, width)
        with torch.no_grad():
            expected = eager(image)
            assert expected.shape == (2, expected.shape[1], height, width)
            n_objects += sum(int(decode({"pred": output})["pred_instances"].max()) for output in expected)
            torch.testing.assert_close(forms["torchscript"](image), expected, rtol=1e-5, atol=1e-5)
            if "onnx" in forms:
                torch.testing.assert_close(forms["onnx"](image), expected, rtol=1e-4, atol=2e-3)
    assert n_objects > 0


def missing_forms(bundle: Path) -> set[str]:
    return {"onnx"} if bundle.name.endswith("mask_rcnn") else set()


def test_the_examples_of_its_readme_run_and_agree_without_a_network(bundle, exported, dataset_dir, monkeypatch):
    def refuse(**_: object) -> None:
        raise AssertionError("MONAI wanted to download")

    monkeypatch.setattr(scripts, "download", refuse)
    monkeypatch.chdir(exported)
    readme = (exported / "README.md").read_text()
    image = sample_images(dataset_dir, 128, 160)
    outputs = []
    for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
        names = {"image": image.numpy() if "onnxruntime" in block else image}
        exec(block, names)
        with torch.no_grad():
            outputs += [names["pred"]] if "pred" in names else [names["network"](image), names["script"](image)]
    assert len(outputs) == 4 - len(missing_forms(bundle))
    for output in outputs[1:]:
        torch.testing.assert_close(torch.as_tensor(output), outputs[0], rtol=1e-4, atol=2e-3)


def test_the_readme_names_licence_preprocessing_figures_and_what_is_missing(bundle, exported):
    readme = (exported / "README.md").read_text()
    assert ("CC BY-NC-SA 4.0" if bundle.name.startswith("segpc2021") else "CC0") in readme
    assert "the 0.1 percentile of the image's values becomes 0, the 99.9 percentile 1" in readme
    verified = re.findall(r"^\| (\w+) \| \d x 3 x \d+ x \d+ \|", readme, re.MULTILINE)
    assert verified == [form for form in ("torchscript", "onnx") if form not in missing_forms(bundle) for _ in range(3)]
    assert ("No onnx here" in readme) == (missing_forms(bundle) == {"onnx"})
    assert (exported / "models" / "model.onnx").exists() == ("onnx" in verified)


def test_monai_makes_a_workflow_of_an_export_which_infers(bundle, exported, dataset_dir, tmp_path):
    image = sorted((dataset_dir / "images").iterdir())[0]
    workflow = create_workflow(
        config_file=str(exported / "configs" / "inference.json"), workflow_type="inference", bundle_root=str(exported),
        dataset_dir=str(image), output_dir=str(tmp_path), **{**QUICK, "patch_size": [128, 128]},
    )  # fmt: skip
    workflow.run()
    instances = tifffile.imread(tmp_path / f"{image.stem}_instances.tif")
    assert instances.shape == read_rgb(image).shape[:2]


def test_the_tensorrt_overlay_infers_with_plain_torchscript_in_the_engine_s_place(exports, sample_data_sets, tmp_path):
    # No GPU and no torch_tensorrt: the overlay without its import, over the plain TorchScript.
    folder = shutil.copytree(exports(SMALLEST), tmp_path / "copy")
    (folder / "models" / "model.ts").rename(folder / "models" / "model_trt.ts")
    (folder / "models" / "model.pt").unlink()
    configs = [str(folder / "configs" / f"{name}.json") for name in ("inference", "inference_trt")]
    imports = ConfigParser.load_config_files(configs)["imports"]
    assert "$import torch_tensorrt" in imports
    image = sorted((sample_data_sets["dsb2018"] / "images").iterdir())[0]
    workflow = create_workflow(
        config_file=configs, workflow_type="inference", bundle_root=str(folder), dataset_dir=str(image),
        output_dir=str(tmp_path / "out"), imports=[line for line in imports if "tensorrt" not in line],
        device="cpu", num_workers=0,
    )  # fmt: skip
    workflow.run()
    assert isinstance(workflow.evaluator.network, torch.jit.ScriptModule)
    assert tifffile.imread(tmp_path / "out" / f"{image.stem}_instances.tif").max() > 0


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda path: path.parts[-3])
def test_the_tensorrt_overlay_disables_the_loader_of_weights(overlay):
    configs = ConfigParser.load_config_files([str(overlay.with_name("inference.json")), str(overlay)])
    described = [handler for handler in configs["handlers"] if isinstance(handler, dict)]  # not the references
    disabled = [handler["_target_"] for handler in described if handler.get("_disabled_") is True]
    assert disabled == ["medseg_ext.handlers.WeightsLoader"]


def test_an_export_is_replaced_only_when_asked_for(exports, tmp_path, capsys):
    folder = tmp_path / SMALLEST.name
    shutil.copytree(exports(SMALLEST), folder)
    (folder / "README.md").write_text("mine")
    assert main(["export", str(SMALLEST), "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        f"error: {folder}: is there already; give another folder as --output, or --force to replace it\n"
    )
    assert (folder / "README.md").read_text() == "mine"
    assert main(["export", SMALLEST.name, "--output", str(tmp_path), "--force"]) == 0
    assert (folder / "README.md").read_text() != "mine"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_form_that_differs_is_not_exported_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(RuntimeError, match="torchscript differs from eager PyTorch by 0 for images of shape"):
        export_bundle(SMALLEST, tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_leave_what_was_there(tmp_path):
    copy = shutil.copytree(SMALLEST, tmp_path / "copy")
    shutil.copyfile(ROOT / "bundles" / "dsb2018_unet" / "models" / "model.pt", copy / "models" / "model.pt")
    (tmp_path / "to").mkdir()
    with pytest.raises(DataError, match=r"model\.pt: .*another architecture"):
        export_bundle(copy, tmp_path / "to")
    assert list((tmp_path / "to").iterdir()) == []


def test_a_bundle_is_not_exported_over_itself_or_over_what_is_no_bundle(tmp_path):
    with pytest.raises(DataError, match="is the bundle itself"):
        export_bundle(SMALLEST, SMALLEST.parent, force=True)
    with pytest.raises(DataError, match="inside it"):
        export_bundle(SMALLEST, SMALLEST / "models")
    (tmp_path / SMALLEST.name).mkdir()
    with pytest.raises(DataError, match="is no bundle, so it is not replaced"):
        export_bundle(SMALLEST, tmp_path, force=True)


def test_safetensors_hold_the_same_weights_and_are_taken_as_well(exports, tmp_path):
    models = exports(SMALLEST) / "models"
    network = read_inference_config(SMALLEST).get_parsed_content("network_def")
    states = [read_weights(models / f"model.{form}", network, remedy="") for form in ("pt", "safetensors")]
    torch.testing.assert_close(*map(dict, states), rtol=0, atol=0)
    (tmp_path / "model.safetensors").write_bytes((models / "model.safetensors").read_bytes()[:-5])
    with pytest.raises(DataError, match=r"model\.safetensors: is no whole file of safetensors"):
        read_weights(tmp_path / "model.safetensors", network, remedy="")


def test_torchscript_lies_under_its_name_with_the_configs_that_monai_deploy_reads(exports):
    with zipfile.ZipFile(exports(SMALLEST) / "models" / "model.ts") as archive:
        assert {"model/extra/inference.json", "model/extra/metadata.json"} <= set(archive.namelist())
