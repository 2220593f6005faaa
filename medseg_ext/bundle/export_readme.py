"""Write the README of an exported bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import monai
import torch

from medseg_ext.bundle.exported_networks import read_inference_config


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
    environment = jinja2.Environment(
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
        decoder=parser["decoder"],
        has_trt=(bundle / "configs" / "inference_trt.json").is_file(),
        patch_size=parser["patch_size"],
        data_licence=(bundle / "docs" / "data_license.txt").read_text(encoding="utf-8").strip(),
        verified=verified,
        missing=missing,
        versions={"PyTorch": torch.__version__, "MONAI": monai.__version__},
    )
    readme = bundle / "README.md"
    readme.write_text(text, encoding="utf-8")
    return readme


def describe_preprocessing(config: Mapping[str, Any]) -> list[str]:
    """Say in plain words what is done to an image before the network sees it.

    Args:
        config: content of an inference.json.

    Returns:
        One sentence a step, in order.
    """
    return [_describe(transform, config) for transform in config["preprocessing"]["transforms"]]


def _of_enlargement(enlargement: float) -> str:
    if enlargement == 1:
        return " The network works at the image's own resolution."
    return (
        f" The network enlarges the image {enlargement:g} times itself, and gives its output at the size of the image; "
        "in the exported forms that cannot be changed."
    )


def _describe(transform: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    kind = transform["_target_"].rpartition(".")[2]
    if kind == "LoadImaged":
        return (
            "Read the image as RGB, float32, channels first: (3, H, W), H rows and W columns, values in [0, 1] "
            "(8 bits divided by 255, 16 bits by 65535); a grey image gives three equal channels, alpha is dropped."
        )
    if kind == "ResizeToWorkingSized":
        side = config["working_size"]
        if side is None:
            return "Keep the size." + _of_enlargement(config["enlargement"])
        return (
            f"Resize, at the same ratio of sides, until the longer one has {side} pixels; bilinear, with anti-aliasing."
        )
    if kind == "ScaleIntensityRangePercentilesd":
        lower, upper = config["contrast_percentiles"]
        return (
            f"Stretch the contrast, over all channels together: the {lower:g} percentile of the image's "
            f"values becomes {transform['b_min']:g}, the {upper:g} percentile {transform['b_max']:g}, what "
            "lies beyond is clipped."
        )
    return f"`{transform['_target_']}`, see `configs/inference.json`."
