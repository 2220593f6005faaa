"""Read a bundle that was exported to TorchScript."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# Its operators, such as the non-maximum suppression of Mask R-CNN, are then known to TorchScript.
import torchvision  # noqa: F401
from monai.bundle import ConfigParser
from monai.data import MetaTensor, load_net_with_metadata
from monai.transforms import Compose, LoadImaged

from medseg_ext.bundle.trust import refuse_unknown_content
from medseg_ext.datasets.collate import collate_same_size
from medseg_ext.errors import DataError
from medseg_ext.images.channels import Choice
from medseg_ext.objects.diameters import noted_sizes
from medseg_ext.objects.objects import Objects

CONFIG_FILE = "inference.json"
REMEDY = "export a bundle of this collection to model.ts, see docs/deployment.md"


@dataclass(frozen=True)
class ExportedBundle:
    """A network in TorchScript, and what its embedded inference config says about its use.

    Attributes:
        network: the network, on `device`.
        load: gives an item with the image, float32 (C, H, W), for an item with the path of its file.
        preprocess: the rest of the config's preprocessing.
        inferer: the config's inferer.
        postprocess: the config's postprocessing, a decoder.
        device: where the network runs.
        cuda_amp: whether it runs in mixed precision, on a GPU.
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        channel: as which channels images are read, see `medseg_ext.images.read_rgb`.
    """

    network: torch.nn.Module
    load: Compose
    preprocess: Compose
    inferer: Any
    postprocess: Any
    device: torch.device
    cuda_amp: bool
    class_names: list[str]
    object_name: str
    channel: Choice = None

    def predict(self, image: torch.Tensor) -> torch.Tensor:
        """Run the network on one preprocessed image, float32 (3, h, w), and note in its metadata at which scale.

        Returns:
            The network's dense output, float (C, h, w), on `device`.
        """
        # Collated as for the evaluator: the layout in memory, too, is that of the bundle's own inference.
        batch = collate_same_size([{"image": image}])["image"]
        inputs = batch.to(self.device)
        with (
            torch.no_grad(),
            torch.autocast("cuda", enabled=self.cuda_amp),
            # Without it, TorchScript spends minutes on measuring and compiling for each new size of image.
            torch.jit.optimized_execution(False),
        ):
            output = self.inferer(inputs, self.network)[0]
        if isinstance(image, MetaTensor):
            image.meta.update(noted_sizes(getattr(inputs, "meta", {})))
        return output

    def decode(self, image: torch.Tensor, output: torch.Tensor) -> Objects:
        """Decode the network's output for an image into objects of the size that the image had in its file."""
        found = self.postprocess({"image": image, "pred": output})
        return Objects(found["pred_instances"], found["pred_classes"], found["pred_scores"])


def read_exported_bundle(file: Path | str) -> ExportedBundle:
    """Read what MONAI's `ckpt_export` made of a bundle with its `inference.json`.

    TorchScript is code, which runs where it is loaded: take only what comes from somebody you trust. The config inside
    it is looked at before it is evaluated. On a CPU the network runs in float32, whatever that says about mixed
    precision.

    Args:
        file: the TorchScript archive; it may have been renamed.

    Raises:
        DataError: it is no such archive, has no config of this collection inside, or one that names code that is not
            run unasked; names the file.
    """
    try:
        network, _, extra = load_net_with_metadata(
            str(file), map_location=torch.device("cpu"), more_extra_files=[CONFIG_FILE]
        )
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{file} is not a TorchScript file with metadata ({error}): {REMEDY}") from error
    if not extra.get(CONFIG_FILE):
        raise DataError(f"{file} has no {CONFIG_FILE} inside: {REMEDY}")
    config = json.loads(extra[CONFIG_FILE])
    refuse_unknown_content({**config, "network_def": None}, file)  # which is never built, see below
    parser = ConfigParser(config)
    parser["network_def"] = network.eval()  # in place of the definition, so that `network` is this one on its device
    try:
        device = torch.device(parser.get_parsed_content("device"))
        if device.type == "cpu":
            # TorchScript does not keep which layers the network runs in float32 though the rest is in bfloat16.
            parser["amp"] = False
        # One by one: the rest of the config, such as its data set, is not for here.
        transforms = parser.get_parsed_content("preprocessing").transforms
        load = [transform for transform in transforms if isinstance(transform, LoadImaged)]
        return ExportedBundle(
            network=parser.get_parsed_content("network"),
            load=Compose(load),
            preprocess=Compose(transforms[len(load) :]),
            inferer=parser.get_parsed_content("inferer"),
            postprocess=parser.get_parsed_content("postprocessing"),
            device=device,
            cuda_amp=bool(parser.get_parsed_content("use_cuda_amp")),
            class_names=list(parser.get_parsed_content("class_names")),
            object_name=str(parser.get_parsed_content("object_name")),
            channel=parser.get("channel"),
        )
    except KeyError as error:
        raise DataError(f"the {CONFIG_FILE} inside {file} lacks {error}: {REMEDY}") from error
