"""Write the README of an exported bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import monai
import torch
from monai.bundle import ConfigParser

from medseg_ext.bundle.exported_networks import read_inference_config
from medseg_ext.images.channels import is_list


def write_export_readme(bundle: Path, *, verified: Sequence[Mapping[str, Any]], missing: Mapping[str, str]) -> Path:
    """Write README.md into an exported bundle, from its configs.

    Args:
        bundle: the exported bundle's folder.
        verified: of each form and size `form`, `shape`, `difference` and `largest_output`.
        missing: the reason for each form that the bundle does not have.

    Returns:
        The file.
    """
    parser = read_inference_config(bundle)
    metadata = parser["_meta_"]
    formats = metadata["network_data_format"]
    environment = jinja2.Environment(  # nosec B701 # of Markdown, from the bundle that is exported
        loader=jinja2.PackageLoader("medseg_ext.bundle"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    text = environment.get_template("export.md").render(
        name=bundle.name,
        metadata=metadata,
        image=formats["inputs"]["image"],
        pred=formats["outputs"]["pred"],
        preprocessing=describe_preprocessing(parser.get()),
        decoder=decoder_options(parser),
        inferer=parser["image_inferer"],
        trt_size=_trt_size(bundle),
        data_licence=(bundle / "docs" / "data_license.txt").read_text(encoding="utf-8").strip(),
        verified=verified,
        missing=missing,
        versions={"PyTorch": torch.__version__, "MONAI": monai.__version__},
    )
    readme = bundle / "README.md"
    readme.write_text(text, encoding="utf-8")
    return readme


def _trt_size(bundle: Path) -> list[int] | None:
    """Give height and width of the tiles that a TensorRT engine takes; None where the bundle has no overlay for one."""
    overlay = bundle / "configs" / "inference_trt.json"
    return ConfigParser.load_config_file(overlay)["image_inferer#tile_size"] if overlay.is_file() else None


def decoder_options(parser: ConfigParser) -> dict[str, Any]:
    """Give the decoder's part of a config, with the values that its references and expressions stand for."""
    return {
        name: parser.get_parsed_content(f"decoder#{name}") if str(value).startswith(("@", "$")) else value
        for name, value in parser["decoder"].items()
    }


def describe_preprocessing(config: Mapping[str, Any]) -> list[str]:
    """Say in plain words what is done to an image before the network sees it.

    Args:
        config: content of an inference.json.

    Returns:
        One sentence a step, in order.
    """
    steps = [each for each in config["preprocessing"]["transforms"] if each["_target_"] != "CopyItemsd"]
    return [
        *(_describe(transform, config) for transform in steps),
        "Scale the image, bilinear and with anti-aliasing where it shrinks, so that a typical "
        f"{config['object_name']} is about {config['working_diameter_px']:g} pixels across: the diameter of a circle "
        "of its area. The exported forms do not scale; the configs, and MONAI Deploy by them, do so before, by an "
        "estimate of the size or by `object_diameter_px`.",
    ]


def _describe(transform: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    kind = transform["_target_"].rpartition(".")[2]
    channel = config.get("channel")
    if kind == "LoadImaged" and is_list(channel):
        return (
            f"Read the channels {', '.join(map(str, channel))} of the image, in this order, float32, channels first: "
            f"({len(channel)}, H, W), H rows and W columns, values in [0, 1] (8 bits divided by 255, 16 bits by 65535)."
        )
    if kind == "LoadImaged":
        return (
            "Read the image as RGB, float32, channels first: (3, H, W), H rows and W columns, values in [0, 1] "
            "(8 bits divided by 255, 16 bits by 65535); a grey image gives three equal channels, alpha is dropped."
        )
    if kind == "StretchContrastd":
        lower, upper = config["contrast_percentiles"]
        over = "of each channel by itself" if is_list(channel) else "over all channels together"
        return (
            f"Stretch the contrast, {over}: the {lower:g} percentile of the image's values becomes 0, the {upper:g} "
            "percentile 1, what lies beyond is clipped. (An image that shows nothing but noise is stretched less, so "
            "that the noise is not taken for objects: `medseg_ext.images.contrast.find_contrast`.)"
        )
    return f"`{transform['_target_']}`, see `configs/inference.json`."
