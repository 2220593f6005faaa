"""Export a bundle to a folder of its own, with its network in every form."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.bundle import ckpt_export, onnx_export
from torch.nn.functional import interpolate

from medseg_ext.bundle.export_readme import write_export_readme
from medseg_ext.bundle.export_target import MONAI, export_target, refuse_export
from medseg_ext.bundle.exported_networks import FORMS, REMEDY, read_inference_config
from medseg_ext.bundle.ship import WEIGHTS_FILE
from medseg_ext.files import MADE_IN_BUNDLES, temporary_folder, to_disk
from medseg_ext.folder_lock import FolderLock
from medseg_ext.images.channels import n_channels_read
from medseg_ext.networks.weights import read_saved, save_safetensors
from medseg_ext.synthetic.scenes import nucleus_images, smears

# Of outputs: logits range over tens. float32 in another order gives some 1e-5, interpolation within the network, whose
# coordinates ONNX Runtime rounds otherwise than PyTorch, up to 1e-3.
LARGEST_DIFFERENCE = 3e-3
VERIFIED_SHAPES = ((1, 256, 256), (2, 160, 224), (2, 384, 320))  # batch, height, width; fit every network's strides
DYNAMIC_AXES = {0: "batch", 2: "height", 3: "width"}
WITHOUT_ONNX = {
    "medseg_ext.networks.mask_rcnn.MaskRCNN": (
        "what Mask R-CNN does next depends on the objects that it has found, which PyTorch's ONNX exporters do not "
        "take: the newer one stops in Detectron2's proposals, the older one in the loop that paints the objects"
    )
}


class Verified(NamedTuple):
    """How far an exported form is from eager PyTorch, for images of one size.

    Attributes:
        form: name of the form, as in `FORMS`.
        shape: of the images, (B, 3, H, W).
        difference: largest absolute difference of an output value.
        largest_output: largest absolute value of the output in eager PyTorch, to see the difference beside.
    """

    form: str
    shape: tuple[int, ...]
    difference: float
    largest_output: float


class Exported(NamedTuple):
    """What was exported: the bundle's new folder, the figures of verification, the missing forms with the reason."""

    folder: Path
    verified: list[Verified]
    missing: dict[str, str]


def export_bundle(bundle: Path, folder: Path, *, force: bool = False) -> Exported:
    """Write a complete copy of a bundle with its network as TorchScript and ONNX, verified against eager PyTorch.

    Everything is written beside its place first: `folder` holds the whole export or what it held before.

    Args:
        bundle: the bundle's folder.
        folder: where the export goes, under the bundle's name; made where it is missing.
        force: replace an export of that name.

    Returns:
        What was exported.

    Raises:
        DataError: it is no bundle, its weights do not fit, or the target is there already or is the bundle itself.
        RuntimeError: a form differs from eager PyTorch, or ONNX is not installed.
    """
    target = export_target(bundle, folder, MONAI)
    refuse_export(bundle, target, MONAI, force=force)
    parser = read_inference_config(bundle)
    missing = {}
    if reason := WITHOUT_ONNX.get(parser["network_def"]["_target_"]):
        missing["onnx"] = reason
    else:
        check_onnx_is_installed()
    new_folders = [path for path in (folder, *folder.parents) if not path.exists()]
    done = False
    try:
        with FolderLock(folder, what="an export"), temporary_folder(folder) as workshop:
            copy = workshop / target.name
            shutil.copytree(bundle, copy, ignore=shutil.ignore_patterns(*MADE_IN_BUNDLES))
            verified = _export_forms(copy, [form for form in EXPORTERS if form not in missing])
            write_export_readme(copy, verified=[row._asdict() for row in verified], missing=missing)
            for path in (*copy.rglob("*"), copy):
                to_disk(path)
            if target.exists():
                target.rename(workshop / "replaced")
            copy.rename(target)
            done = True
    finally:
        if not done:
            for path in new_folders:
                with contextlib.suppress(OSError):  # something else is in it by now
                    path.rmdir()
    return Exported(target, verified, missing)


def _export_forms(bundle: Path, forms: list[str]) -> list[Verified]:
    """Write the network of a bundle in some forms into it, and verify each; and its weights as safetensors."""
    eager = FORMS["eager"](bundle)
    with torch.no_grad():
        batches = [(image, eager(image)) for image in drawn_images(_n_channels(bundle))]
    weights = bundle / WEIGHTS_FILE
    save_safetensors(read_saved(weights, remedy=REMEDY), weights.with_suffix(".safetensors"))
    verified = []
    for form in forms:
        with warnings.catch_warnings():
            # Of both exporters: what is deprecated, and which shapes a trace holds fast. The verification tells.
            warnings.simplefilter("ignore")
            EXPORTERS[form](bundle)
        network = FORMS[form](bundle)
        for image, expected in batches:
            with torch.no_grad():
                difference = float((network(image) - expected).abs().max())
            verified.append(Verified(form, tuple(image.shape), difference, float(expected.abs().max())))
            if not difference <= LARGEST_DIFFERENCE:  # so that NaN fails, too
                raise RuntimeError(
                    f"{bundle.name}: {form} differs from eager PyTorch by {difference:.2g} for images of shape "
                    f"{tuple(image.shape)}, at most {LARGEST_DIFFERENCE} was expected; nothing is exported"
                )
    return verified


def _export_torchscript(bundle: Path) -> None:
    # Straight to its name: MONAI Deploy looks for the archive's root folder under the file's stem.
    ckpt_export(filepath=str(bundle / "models" / "model.ts"), **_of_bundle(bundle))


def _export_onnx(bundle: Path) -> None:
    onnx_export(
        filepath=str(bundle / "models" / "model.onnx"),
        use_trace=True,
        input_shape=[2, _n_channels(bundle), 128, 160],  # an example: its batch, height and width are dynamic
        converter_kwargs={
            "input_names": ["image"],
            "output_names": ["pred"],
            "dynamic_axes": {"image": DYNAMIC_AXES, "pred": DYNAMIC_AXES},
            # PyTorch's newer exporter gives the same outputs, in fifteen times the time (two minutes a network).
            "dynamo": False,
        },
        **_of_bundle(bundle),
    )


EXPORTERS: dict[str, Callable[[Path], None]] = {"torchscript": _export_torchscript, "onnx": _export_onnx}


def _of_bundle(bundle: Path) -> dict[str, Any]:
    return {
        "net_id": "network_def",
        "ckpt_file": str(bundle / "models" / "model.pt"),
        "meta_file": str(bundle / "configs" / "metadata.json"),
        "config_file": str(bundle / "configs" / "inference.json"),
        "key_in_ckpt": "",
    }


def _n_channels(bundle: Path) -> int:
    return n_channels_read(read_inference_config(bundle).get("channel"))


def drawn_images(n_channels: int = 3) -> Iterator[torch.Tensor]:
    """Draw batches of `VERIFIED_SHAPES`: nuclei, then a smear, as noise would show nothing where nothing is found.

    Args:
        n_channels: those of the images are red, green and blue, again and again.
    """
    scenes = [next(nucleus_images(0)).image, next(smears(0)).image]
    pixels = [torch.from_numpy(scene.copy()).permute(2, 0, 1)[None] / 255 for scene in scenes]
    for batch, height, width in VERIFIED_SHAPES:
        resized = [interpolate(image, size=(height, width), mode="bilinear") for image in pixels[-batch:]]
        yield torch.cat(resized)[:, torch.arange(n_channels) % 3]


def check_onnx_is_installed() -> None:
    """Raise RuntimeError where ONNX or ONNX Runtime is not installed; says how to install them."""
    absent = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if absent:
        raise RuntimeError(f"{' and '.join(absent)} is not installed: pip install 'medseg-ext[export]'")
