"""Every bundle is what MONAI's model zoo accepts, and exports to TorchScript."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out

from medseg_ext.transforms import read_rgb

SCHEMA = Path(__file__).with_name("meta_schema.json")


def test_a_bundle_has_the_files_of_the_zoo(bundle):
    for name in (
        "LICENSE", "docs/README.md", "docs/data_license.txt", "models/model.pt", "configs/metadata.json",
        "configs/train.json", "configs/evaluate.json", "configs/inference.json", "configs/multi_gpu_train.json",
        "configs/multi_gpu_evaluate.json", "configs/logging.conf", "large_files.yml",
    ):  # fmt: skip
        assert (bundle / name).is_file(), name


def test_the_version_stands_in_the_changelog(metadata):
    assert metadata["version"] in metadata["changelog"]


def test_the_metadata_keep_to_the_schema(bundle, tmp_path):
    # The schema is given as a file: verify_metadata fetches it only where there is none.
    verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(SCHEMA), create_dir=False)


def test_the_schema_refuses_metadata_without_a_tensor_format(metadata, tmp_path):
    del metadata["network_data_format"]["outputs"]["pred"]["dtype"]
    broken = tmp_path / "metadata.json"
    broken.write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="dtype"):
        verify_metadata(meta_file=str(broken), filepath=str(SCHEMA), create_dir=False)


def test_the_network_takes_and_gives_what_the_metadata_say(bundle):
    files = {name: str(bundle / "configs" / f"{name}.json") for name in ("metadata", "inference")}
    verify_net_in_out(
        net_id="network_def", meta_file=files["metadata"], config_file=files["inference"], device="cpu", n=4
    )


def inference_config(bundle: Path) -> ConfigParser:
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    return parser


def shipped_network(bundle: Path) -> torch.nn.Module:
    parser = inference_config(bundle)
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    return network


def sample_images(dataset_dir: Path, height: int, width: int) -> torch.Tensor:
    """Two images of the sample in one batch, resized: noise would show nothing where there is nothing found."""
    images = []
    for path in sorted((dataset_dir / "images").iterdir())[:2]:
        image = torch.from_numpy(read_rgb(path).copy()).permute(2, 0, 1) / 255
        image = (image - image.min()) / (image.max() - image.min())
        images.append(F.interpolate(image[None], size=(height, width), mode="bilinear")[0])
    return torch.stack(images)


def test_torchscript_gives_the_network_s_output_at_other_sizes(bundle, dataset_dir, tmp_path):
    script = tmp_path / "model.ts"
    ckpt_export(
        net_id="network_def",
        filepath=str(script),
        ckpt_file=str(bundle / "models" / "model.pt"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        config_file=str(bundle / "configs" / "inference.json"),
        key_in_ckpt="",
    )
    exported, network = torch.jit.load(script).eval(), shipped_network(bundle)
    decode = inference_config(bundle).get_parsed_content("decoder")
    n_objects = 0
    for height, width in ((160, 224), (384, 320)):
        image = sample_images(dataset_dir, height, width)
        with torch.no_grad():
            expected, actual = network(image), exported(image)
        assert expected.shape == (2, expected.shape[1], height, width)
        n_objects += sum(int(decode({"pred": output})["pred_instances"].max()) for output in expected)
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert n_objects > 0
