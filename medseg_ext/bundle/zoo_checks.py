"""Check a bundle folder as MONAI's model zoo does before it accepts one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser, ConfigWorkflow, ckpt_export, verify_metadata, verify_net_in_out
from PIL import Image

from medseg_ext.bundle.trust import refuse_unknown_code
from medseg_ext.datasets.data_set_folder import CHANNEL, DATASET_FILE, SECTIONS
from medseg_ext.datasets.workspace import path_in_data_set
from medseg_ext.images.channels import Choice, is_list
from medseg_ext.images.channels_tiff import encode_channels_tiff

SCHEMA = Path(__file__).with_name("meta_schema.json")  # of the version that the metadata name
FILES = (
    "LICENSE", "configs/metadata.json", "models/model.pt", "configs/inference.json",  # the zoo's
    "docs/README.md", "docs/data_license.txt", "large_files.yml", "configs/train.json", "configs/evaluate.json",
    "configs/multi_gpu_train.json", "configs/multi_gpu_evaluate.json", "configs/logging.conf",
)  # fmt: skip
WORKFLOWS = {"train": "train", "evaluate": "infer", "inference": "infer"}  # config -> kind of workflow
LARGEST_MB = 25  # of one file in the zoo
SIDE_FACTOR = 4  # n of a side such as "32 * n"; a side that may be any has ANY_SIDE_PX
ANY_SIDE_PX = 128


class ZooCheckError(ValueError):
    """A bundle lacks what MONAI's model zoo wants; the message names the file."""


def check_files(bundle: Path) -> None:
    """Check that the files of a bundle exist, and that none is larger than the zoo takes."""
    missing = [name for name in FILES if not (bundle / name).is_file()]
    if missing:
        raise ZooCheckError(f"{bundle}: lacks {', '.join(missing)}")
    for name in FILES:
        if (bundle / name).stat().st_size > LARGEST_MB * 2**20:
            raise ZooCheckError(f"{bundle / name}: is larger than {LARGEST_MB} MB")


def check_version(bundle: Path) -> None:
    """Check that the version stands in the changelog."""
    file = bundle / "configs" / "metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    if metadata["version"] not in metadata["changelog"]:
        raise ZooCheckError(f"{file}: version {metadata['version']} does not stand in its changelog")


def check_metadata(bundle: Path) -> None:
    """Check the metadata by MONAI's schema, which is given as a file: MONAI fetches it only where there is none."""
    verify_metadata(meta_file=str(bundle / "configs" / "metadata.json"), filepath=str(SCHEMA), create_dir=False)


def check_properties(bundle: Path) -> None:
    """Check that train, evaluate and inference have all that MONAI's workflows want, on a data set of one image."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        for config, kind in WORKFLOWS.items():
            file = bundle / "configs" / f"{config}.json"
            content = ConfigParser.load_config_file(str(file))
            _write_one_image(data, content["class_names"], content.get("channel"))
            workflow = ConfigWorkflow(
                config_file=str(file),
                workflow_type=kind,
                bundle_root=bundle,  # as all paths no text, in which MONAI's parser would rewrite a #
                logging_file=False,
                dataset_dir=data / "images" if config == "inference" else data,
                output_dir=Path(folder, "output"),
                device="cpu",
                num_workers=0,
            )
            workflow.initialize()
            try:
                missing = workflow.check_properties()
            except KeyError as error:  # MONAI's own, for a property that the config does not have at all
                raise ZooCheckError(f"{file}: lacks a property: {error.args[0]}") from error
            workflow.finalize()
            if missing:
                raise ZooCheckError(f"{file}: lacks the properties {', '.join(missing)}")


def check_network(bundle: Path) -> None:
    """Check that the network takes and gives what the metadata say."""
    verify_net_in_out(net_id="network_def", device="cpu", n=SIDE_FACTOR, any=ANY_SIDE_PX, **_configs(bundle))


def check_torchscript(bundle: Path) -> None:
    """Check that the network exports to TorchScript, and that a shipped `model.ts` loads."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "model.ts")
        ckpt_export(
            net_id="network_def",
            filepath=str(script),
            ckpt_file=str(bundle / "models" / "model.pt"),
            key_in_ckpt="",
            **_configs(bundle),
        )
        torch.jit.load(script, map_location="cpu")
    shipped = bundle / "models" / "model.ts"
    if shipped.is_file():
        torch.jit.load(shipped, map_location="cpu")


# In the order of the zoo's own script.
CHECKS: dict[str, Callable[[Path], None]] = {
    "files": check_files,
    "version": check_version,
    "metadata": check_metadata,
    "properties": check_properties,
    "network": check_network,
    "torchscript": check_torchscript,
}


def verify_bundle(bundle: Path) -> Iterator[tuple[str, str]]:
    """Do all checks on a bundle; later ones also where earlier ones fail.

    Args:
        bundle: the bundle's folder.

    Yields:
        Name of a check, and what is wrong, empty where nothing is.

    Raises:
        DataError: the bundle names code that is not run unasked, see `medseg_ext.bundle.trust`.
    """
    refuse_unknown_code(bundle)
    for name, check in CHECKS.items():
        try:
            check(bundle)
        except Exception as error:  # MONAI raises what it likes
            yield name, " ".join(str(error).split()) or type(error).__name__
        else:
            yield name, ""


def _write_one_image(folder: Path, class_names: Sequence[str], channel: Choice) -> None:
    """Write a data set folder whose every section is the same image of one object: properties need no more."""
    labels = np.zeros((ANY_SIDE_PX, ANY_SIDE_PX), dtype=np.uint8)
    labels[32:96, 32:96] = 1
    item = {"id": "one", "group": "one"}
    maps = {"image": np.stack([labels * 200] * 3, axis=2), "instances": labels, "classes": labels}
    for key, array in maps.items():
        item[key] = path_in_data_set(key, "one", apart=is_list(channel))
        (folder / item[key]).parent.mkdir(parents=True, exist_ok=True)
        if key == "image" and is_list(channel):
            pixels = np.repeat(array[..., :1], len(channel), axis=2)
            (folder / item[key]).write_bytes(encode_channels_tiff(pixels, channel))
        else:
            Image.fromarray(array).save(folder / item[key])
    content = {CHANNEL: channel, "class_names": list(class_names), **{section: [item] for section in SECTIONS}}
    (folder / DATASET_FILE).write_text(json.dumps(content), encoding="utf-8")


def _configs(bundle: Path) -> dict[str, Any]:
    configs = bundle / "configs"
    return {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.json")}
