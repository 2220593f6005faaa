"""An exported bundle is read without the MONAI Deploy App SDK."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from monai.data import save_net_with_metadata
from PIL import Image

import medseg_ext
from medseg_ext.bundle.exported_bundle import read_exported_bundle
from medseg_ext.errors import DataError
from medseg_ext.objects.diameters import noted_sizes

ROOT = Path(__file__).parents[3]
APP = ROOT / "medseg_ext" / "deploy"


class BrightIsForeground(torch.nn.Module):
    """Logits of background, nucleus and centre distance: what is brighter than a half is nucleus."""

    def forward(self, image):
        grey = image.mean(dim=1, keepdim=True)
        return torch.cat([torch.zeros_like(grey), 20 * (grey - 0.5), torch.full_like(grey, -20)], dim=1)


def config(**changes):
    """Give the inference config of a bundle as far as the application reads it; None leaves a key out."""
    load = {
        "_target_": "LoadImaged",
        "keys": "image",
        "reader": {"_target_": "medseg_ext.transforms.RGBReader"},
        "ensure_channel_first": True,
    }
    whole = {
        "device": "$torch.device('cpu')",
        "use_cuda_amp": False,
        "network_def": {"_target_": "a.network.that.is.not.Here"},
        "network": "$@network_def.to(device=@device, memory_format=torch.channels_last)",
        "preprocessing": {"_target_": "Compose", "transforms": [load]},
        "inferer": {
            "_target_": "medseg_ext.inferers.SizeNormalisedInferer",
            "inferer": {"_target_": "SimpleInferer"},
            "working_diameter_px": 10,
            "object_diameter_px": 20,
            "estimator": None,
        },
        "postprocessing": {"_target_": "medseg_ext.transforms.DecodeSemanticd", "min_area_px": 1},
        "class_names": ["background", "nucleus"],
        "object_name": "nucleus",
        "imports": ["$import torch"],
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def export(file, **changes):
    script = torch.jit.script(BrightIsForeground())
    save_net_with_metadata(
        script, str(file), meta_values={}, more_extra_files={"inference.json": json.dumps(config(**changes)).encode()}
    )
    return file


def test_an_image_goes_through_the_embedded_configs_and_objects_have_its_size(tmp_path):
    bundle = read_exported_bundle(export(tmp_path / "model.ts"))
    bright = np.zeros((24, 40), dtype=np.uint8)  # twice the size at which the network works
    bright[2:14, 4:10] = bright[18:22, 16:36] = 255
    Image.fromarray(bright).save(tmp_path / "a.png")
    image = bundle.load({"image": str(tmp_path / "a.png")})["image"]
    assert image.shape == (3, 24, 40)
    image = bundle.preprocess({"image": image})["image"]
    output = bundle.predict(image)
    assert output.shape == (3, 12, 20)
    assert noted_sizes(image.meta) == {"object_diameter_px": 20, "scale": 0.5}
    objects = bundle.decode(image, output)
    assert objects.instances.shape == objects.classes.shape == (1, 24, 40)
    assert objects.instances.max() == len(objects.scores) == 2
    upright, flat = objects.instances[0, 4:12, 6:8].unique(), objects.instances[0, 19:21, 18:34].unique()
    assert sorted([*upright.tolist(), *flat.tolist()]) == [1, 2]
    assert (bundle.class_names, bundle.object_name) == (["background", "nucleus"], "nucleus")


def test_a_renamed_archive_keeps_its_configs(tmp_path):
    file = export(tmp_path / "model.ts").rename(tmp_path / "nuclei of mice.ts")
    assert read_exported_bundle(file).object_name == "nucleus"


def test_a_file_that_is_no_archive_is_named(tmp_path):
    (tmp_path / "model.ts").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"model\.ts is not a TorchScript file with metadata"):
        read_exported_bundle(tmp_path / "model.ts")


def test_an_archive_without_an_inference_config_is_named(tmp_path):
    save_net_with_metadata(torch.jit.script(BrightIsForeground()), str(tmp_path / "model.ts"), meta_values={})
    with pytest.raises(DataError, match=r"model\.ts has no inference\.json inside"):
        read_exported_bundle(tmp_path / "model.ts")


def test_the_config_of_another_kind_of_bundle_is_named_with_what_it_lacks(tmp_path):
    with pytest.raises(DataError, match=r"inside .*model\.ts lacks .*object_name"):
        read_exported_bundle(export(tmp_path / "model.ts", object_name=None))


@pytest.mark.skipif(importlib.util.find_spec("monai.deploy") is not None, reason="the SDK is installed")
def test_without_the_sdk_the_application_says_how_to_install_it(tmp_path):
    command = [sys.executable, "-m", "medseg_ext.deploy", "-i", str(tmp_path), "-o", str(tmp_path), "-m", "model.ts"]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert process.returncode == 2
    assert process.stderr.strip().splitlines()[-1].startswith("error: the MONAI Deploy App SDK is not installed")


def test_the_package_takes_its_requirements_from_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    known = {*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())}
    listed = [line for line in (APP / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert {*listed} <= known
    # The packager installs the SDK itself.
    assert not any(re.match("monai-deploy-app-sdk|holoscan", line) for line in listed)


def test_the_package_has_the_version_of_the_project():
    application = yaml.safe_load((APP / "app.yaml").read_text())["application"]
    assert application["version"] == medseg_ext.__version__
