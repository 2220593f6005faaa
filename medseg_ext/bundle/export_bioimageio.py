"""Export a bundle as a model of the BioImage Model Zoo: a zip with rdf.yaml, weights and test tensors."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from medseg_ext.bundle.export import (
    EXPORTERS,
    LARGEST_DIFFERENCE,
    WITHOUT_ONNX,
    check_onnx_is_installed,
    drawn_images,
)
from medseg_ext.bundle.export_facts import CARD, DATA_LICENCE, BundleFacts, put_in_place, read_facts
from medseg_ext.bundle.export_readme import decoder_options, describe_preprocessing
from medseg_ext.bundle.export_target import BIOIMAGEIO, export_target, refuse_export
from medseg_ext.bundle.exported_networks import FORMS
from medseg_ext.errors import DataError
from medseg_ext.files import MADE_IN_BUNDLES
from medseg_ext.images.channels import is_list, n_channels_read
from medseg_ext.images.composite import as_rgb
from medseg_ext.images.png import encode_png

FORMAT_VERSION = "0.5.4"
WEIGHTS = {"torchscript": "model.ts", "onnx": "model.onnx"}
EPSILON = 1e-6  # of the format's scale_range
TEST_INPUT, TEST_OUTPUT, COVER, DOCUMENTATION = "test_input.npy", "test_output.npy", "cover.png", "README.md"


def export_bioimageio(bundle: Path, folder: Path, *, force: bool = False) -> Path:
    """Write a model of the BioImage Model Zoo, `NAME.bioimageio.zip`.

    The preprocessing of the format is the stretch of the contrast; the scale at which the network is to see the image
    is told in its documentation, as the format has none. What the output is decoded by stands there, too.

    Args:
        bundle: the bundle's folder; its network is a semantic one.
        folder: where the file goes; made where it is missing.
        force: replace one that is there.

    Returns:
        The file.

    Raises:
        DataError: it is no bundle, or one whose network finds objects, which the format cannot hold; its weights do not
            fit; or the file is there.
        RuntimeError: ONNX is not installed, or a form differs from eager PyTorch.
    """
    target = export_target(bundle, folder, BIOIMAGEIO)
    refuse_export(bundle, target, BIOIMAGEIO, force=force)
    facts = read_facts(bundle)
    if facts.parser["network_def"]["_target_"] in WITHOUT_ONNX:
        raise DataError(
            f"{bundle}: the model zoo's format takes networks that map an image to an image by what PyTorch alone runs,"
            " and Mask R-CNN finds boxes, by operators of Detectron2: export a bundle of another network, or this one "
            "without --format"
        )
    check_onnx_is_installed()
    with (
        put_in_place(target) as unfinished,
        tempfile.TemporaryDirectory(dir=unfinished.parent) as workshop,
    ):
        content = Path(workshop, "content")
        content.mkdir()
        _write_content(bundle, facts, Path(workshop, bundle.resolve().name), content)
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(content.iterdir()):
                archive.write(path, path.name)
    return target


def _write_content(bundle: Path, facts: BundleFacts, copy: Path, folder: Path) -> None:
    shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns(*MADE_IN_BUNDLES))
    channel = facts.parser.get("channel")
    raw = _test_image(n_channels_read(channel))
    image = torch.from_numpy(stretched(raw, facts.parser["contrast_percentiles"], apart=is_list(channel)))
    with torch.no_grad():
        expected = FORMS["eager"](bundle)(image)
    for form, name in WEIGHTS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporters, see `medseg_ext.bundle.export`; the difference tells
            EXPORTERS[form](copy)
        with torch.no_grad():
            difference = float((FORMS[form](copy)(image) - expected).abs().max())
        if not difference <= LARGEST_DIFFERENCE:
            raise RuntimeError(
                f"{bundle.name}: {form} differs from eager PyTorch by {difference:.2g}; nothing is exported"
            )
        shutil.move(copy / "models" / name, folder / name)
    np.save(folder / TEST_INPUT, raw)
    np.save(folder / TEST_OUTPUT, expected.numpy())
    (folder / COVER).write_bytes(encode_png(_cover(raw, expected)))
    for file in ("LICENSE", DATA_LICENCE, CARD):
        name = "model_card.md" if file == CARD else Path(file).name
        shutil.copy(bundle / file, folder / name)
    (folder / DOCUMENTATION).write_text(_documentation(facts), encoding="utf-8")
    description = yaml.safe_dump(
        _description(facts, folder, tuple(expected.shape)), sort_keys=False, allow_unicode=True
    )
    (folder / "rdf.yaml").write_text(description, encoding="utf-8")


def stretched(
    raw: NDArray[np.float32], percentiles: tuple[float, float], *, apart: bool = False
) -> NDArray[np.float32]:
    """Stretch the contrast as the format does: `scale_range` and `clip`.

    Args:
        raw: values of any range, shape (1, C, H, W).
        percentiles: that become 0 and 1.
        apart: whether of each channel by itself.
    """
    low, high = np.percentile(raw, percentiles, axis=(2, 3) if apart else None, keepdims=True)
    return np.clip((raw - low) / (high - low + EPSILON), 0, 1).astype(np.float32)


def _test_image(n_channels: int) -> NDArray[np.float32]:
    drawn = next(drawn_images(n_channels)).numpy()
    return np.round(drawn * 200 + 20).astype(np.float32)  # a duller one than the network takes


def _cover(raw: NDArray[np.float32], output: torch.Tensor) -> NDArray[np.uint8]:
    """Show the image beside the probability of its foreground."""
    picture = as_rgb(np.moveaxis(raw[0], 0, -1) / 255) * 255
    foreground = 1 - torch.softmax(output[0, :-1], dim=0)[0].numpy()
    return np.concatenate([picture, np.repeat(foreground[..., None] * 255, 3, axis=2)], axis=1).astype(np.uint8)


def _description(facts: BundleFacts, folder: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    formats, metadata = facts.metadata["network_data_format"], facts.metadata
    channels = formats["outputs"]["pred"]["channel_def"].values()
    lower, upper = facts.parser["contrast_percentiles"]
    sides = [{"type": "space", "id": side, "size": {"min": 64, "step": 32}} for side in "yx"]
    output_sides = [{"type": "space", "id": side, "size": {"tensor_id": "image", "axis_id": side}} for side in "yx"]
    seen = list(formats["inputs"]["image"]["channel_def"].values())
    joint = {"axes": ["y", "x"] if is_list(facts.parser.get("channel")) else ["channel", "y", "x"]}
    preprocessing = [
        {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
        {"id": "scale_range", "kwargs": {**joint, "min_percentile": lower, "max_percentile": upper, "eps": EPSILON}},
        {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}},
        {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
    ]
    of_data_set = metadata.get("data_set_doi")
    papers = [{"text": metadata["references"][0], "doi": of_data_set}] if of_data_set else []
    return {
        "format_version": FORMAT_VERSION,
        "type": "model",
        "name": facts.title,
        "description": f"{metadata['description']} {metadata['task']}. {metadata['intended_use']}"[:1024],
        "authors": [{"name": metadata["authors"]}],
        "license": facts.weights_licence,
        "version": metadata["version"],
        "tags": facts.tags,
        "cite": [
            *papers,
            {
                "text": "MONAI: An open-source framework for deep learning in healthcare",
                "doi": "10.48550/arXiv.2211.02701",
            },
        ],
        "covers": [COVER],
        "documentation": DOCUMENTATION,
        "attachments": [_file(folder, name) for name in ("LICENSE", "data_license.txt", "model_card.md")],
        "inputs": [
            {
                "id": "image",
                "description": f"microscopy ({', '.join(seen)}), a typical object of which is "
                f"{facts.parser['working_diameter_px']:g} px across",
                "axes": [{"type": "batch"}, _channels([name.replace(" ", "_") for name in seen]), *sides],
                "data": {"type": "float32"},
                "preprocessing": preprocessing,
                "test_tensor": _file(folder, TEST_INPUT),
            }
        ],
        "outputs": [
            {
                "id": "pred",
                "description": "logits",
                "axes": [{"type": "batch"}, _channels([name.replace(" ", "_") for name in channels]), *output_sides],
                "data": [{"type": "float32"}] * shape[1],
                "test_tensor": _file(folder, TEST_OUTPUT),
            }
        ],
        "weights": {
            "torchscript": {**_file(folder, "model.ts"), "pytorch_version": _version(torch.__version__)},
            "onnx": {**_file(folder, "model.onnx"), "opset_version": _opset(folder), "parent": "torchscript"},
        },
        "config": {
            "bioimageio": {
                "reproducibility_tolerance": [{"relative_tolerance": 1e-3, "absolute_tolerance": LARGEST_DIFFERENCE}]
            }
        },
    }


def _channels(names: list[str]) -> dict[str, Any]:
    return {"type": "channel", "channel_names": names}


def _file(folder: Path, name: str) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}


def _version(text: str) -> str:
    return text.partition("+")[0]


def _opset(folder: Path) -> int:
    import onnx

    return int(onnx.load(folder / "model.onnx").opset_import[0].version)


def _documentation(facts: BundleFacts) -> str:
    decoder = decoder_options(facts.parser)
    options = ", ".join(f"{key} {value}" for key, value in decoder.items() if key != "_target_")
    steps = "\n".join(f"{number}. {step}" for number, step in enumerate(describe_preprocessing(facts.parser.get()), 1))
    figures = "\n".join(f"| {name} | {value} |" for name, value in facts.figures.items())
    classes = len(facts.parser["class_names"])
    return f"""# {facts.title}

{facts.metadata["description"]} {facts.metadata["task"]}. {facts.metadata["intended_use"]}

## Input

{steps}

The zoo's tools do the second step, and not the last: scale the image first. Sides are multiples of 32.

## Output

Logits of {classes} classes ({", ".join(facts.parser["class_names"])}), and as the last channel that of the centre
distance: how deep in its object a pixel lies. Objects come of them by `{decoder["_target_"]}` ({options}) of the
package medseg-ext.

## Validation

On the test images of {facts.metadata["data_set"]}; what each figure is, and where the model fails, stands in
`model_card.md`.

| metric | value |
|---|---|
{figures}

## Licence

The weights are under {facts.weights_licence} (`data_license.txt`), the code that made them under Apache-2.0
(`LICENSE`). Data: {facts.metadata["data_source"]}.
"""
