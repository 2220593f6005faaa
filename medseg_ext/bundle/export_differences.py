"""Tell how far the exported forms of a bundle are from eager PyTorch, on images."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from medseg_ext.bundle.exported_bundle import read_exported_bundle
from medseg_ext.bundle.exported_networks import EXPORT_FIRST, read_inference_config
from medseg_ext.bundle.exported_networks import FORMS as NETWORKS
from medseg_ext.errors import DataError


class Result(NamedTuple):
    """What a form gives for one image.

    Attributes:
        logits: output of the network, float32 (C, h, w), at the size at which it works; None where a form hides it.
        instances: label map, integer (H, W), at the image's size.
        classes: class map, integer (H, W).
    """

    logits: torch.Tensor | None
    instances: torch.Tensor
    classes: torch.Tensor


class Difference(NamedTuple):
    """How far a form is from eager PyTorch, over some images.

    Attributes:
        images: how many.
        logits: largest absolute difference; None where the form hides its logits.
        instance_px: pixels with another object; objects are compared by number, so that one object more or less early
            in an image counts for all that come after it.
        class_px: pixels of another class.
        pixels: of all images.
        objects: found by eager PyTorch.
    """

    images: int
    logits: float | None
    instance_px: int
    class_px: int
    pixels: int
    objects: int


Form = Callable[[Path, Sequence[Path]], Iterator[Result]]
"""From a bundle's folder and image files to a result for each image, in order."""


def run_network(form: str, bundle: Path, images: Sequence[Path]) -> Iterator[Result]:
    """Run a bundle's inference with its network in another form; see `medseg_ext.bundle.exported_networks.FORMS`."""
    network = NETWORKS[form](bundle)
    parser = read_inference_config(bundle)
    parser["device"] = "cpu"
    parser["amp"] = False
    preprocessing, inferer, decode = (
        parser.get_parsed_content(part) for part in ("preprocessing", "inferer", "decoder")
    )
    for file in images:
        item: dict[str, Any] = preprocessing({"image": str(file)})
        with torch.no_grad():
            item["pred"] = torch.as_tensor(inferer(item["image"][None].as_tensor(), network))[0]
        decoded = decode(item)
        yield Result(item["pred"], decoded["pred_instances"][0], decoded["pred_classes"][0])


def run_application(bundle: Path, images: Sequence[Path]) -> Iterator[Result]:
    """Run what the operators of the MONAI Deploy application run: `model.ts` with the configs inside it."""
    file = bundle / "models" / "model.ts"
    if not file.is_file():
        raise DataError(f"{file}: not found; {EXPORT_FIRST}")
    exported = read_exported_bundle(file)
    for path in images:
        loaded = exported.preprocess(exported.load({"image": str(path)}))
        output = exported.predict(loaded["image"])
        objects = exported.decode(loaded["image"], output)
        yield Result(torch.as_tensor(output), objects.instances[0], objects.classes[0])


FORMS: dict[str, Form] = {name: partial(run_network, name) for name in NETWORKS} | {"deploy": run_application}
BASELINE = "eager"


def compare(results: Sequence[Result], baseline: Sequence[Result]) -> Difference:
    """Compare the results of a form with those of eager PyTorch for the same images."""
    pairs = list(zip(results, baseline, strict=True))
    return Difference(
        images=len(pairs),
        logits=_largest([(ours.logits, theirs.logits) for ours, theirs in pairs]),
        instance_px=sum(int((ours.instances != theirs.instances).sum()) for ours, theirs in pairs),
        class_px=sum(int((ours.classes != theirs.classes).sum()) for ours, theirs in pairs),
        pixels=sum(theirs.instances.numel() for _, theirs in pairs),
        objects=sum(int(theirs.instances.max()) for _, theirs in pairs),
    )


def _largest(pairs: Sequence[tuple[torch.Tensor | None, torch.Tensor | None]]) -> float | None:
    """Give the largest absolute difference of two tensors over all pairs; None where one is hidden."""
    differences = [float((one - other).abs().max()) for one, other in pairs if one is not None and other is not None]
    return max(differences) if len(differences) == len(pairs) else None


def compare_forms(
    bundle: Path, images: Sequence[Path], forms: Sequence[str]
) -> Iterator[tuple[str, Difference | None]]:
    """Compare forms of one bundle with eager PyTorch.

    Yields:
        Name of a form, and how far it is; None where the bundle does not have it, which is said on the error stream.
    """
    baseline = list(FORMS[BASELINE](bundle, images))
    for form in forms:
        try:
            yield form, compare(list(FORMS[form](bundle, images)), baseline)
        except DataError as error:
            print(f"{bundle.name}: {error}", file=sys.stderr)
            yield form, None


HEAD = """\
| bundle | form | images | objects | largest difference of logits | pixels of another object | pixels of another class |
|---|---|---|---|---|---|---|"""


def as_row(bundle: str, form: str, found: Difference | None) -> str:
    """Give one row of the Markdown table."""
    if found is None:
        return f"| `{bundle}` | {form} | no such form | | | | |"
    logits = "hidden" if found.logits is None else f"{found.logits:.2g}"
    return (
        f"| `{bundle}` | {form} | {found.images} | {found.objects} | {logits} "
        f"| {found.instance_px} of {found.pixels} | {found.class_px} |"
    )
