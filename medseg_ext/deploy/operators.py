"""Operators of the MONAI Deploy App SDK, from image files to files with objects."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from monai.deploy.conditions import CountCondition
from monai.deploy.core import ExecutionContext, Fragment, InputContext, Operator, OperatorSpec, OutputContext
from monai.deploy.operators import InferenceOperator

from medseg_ext.bundle.exported_bundle import ExportedBundle
from medseg_ext.datasets.readable_images import ReadableImages
from medseg_ext.errors import reason_of
from medseg_ext.files import as_text
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.result_folder import ResultFolder

logger = logging.getLogger(__name__)


# Operators hand on these and not a dict, which Holoscan would take for a map of its own tensors.
@dataclass(frozen=True)
class LoadedImage:
    """An image as it came.

    Attributes:
        item: path of the file under `image`, and its `id`.
        image: float32 (3, H, W) in [0, 1], with metadata.
    """

    item: dict[str, str]
    image: torch.Tensor


@dataclass(frozen=True)
class FailedImage:
    """An image that could not be done.

    Attributes:
        item: path of the file under `image`, and its `id`.
        reason: why.
    """

    item: dict[str, str]
    reason: str


@dataclass(frozen=True)
class SegmentedImage(LoadedImage):
    """An image with its objects, and the metadata of what went through the network."""

    objects: Objects
    metadata: Mapping[str, Any]


class ImageFolderReaderOperator(Operator):
    """Read one image a tick, until all are read.

    Named output: `image`, a `LoadedImage` or a `FailedImage`.

    Args:
        fragment: the application.
        images: the images, with what loads them as transform.
    """

    def __init__(self, fragment: Fragment, *args: Any, images: ReadableImages, **options: Any) -> None:
        self.images = images
        self.n_read = 0
        super().__init__(fragment, CountCondition(fragment, len(images)), *args, **options)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the output."""
        spec.output("image")

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Read the next image."""
        loaded, item = self.images[self.n_read], self.images.data[self.n_read]
        if "error" in loaded:
            logger.error("%s is left out: %s", as_text(item["image"]), as_text(loaded["error"]))
            op_output.emit(FailedImage(item, loaded["error"]), "image")
        else:
            op_output.emit(LoadedImage(item, loaded["image"]), "image")
        self.n_read += 1


class BundleSegmentationOperator(InferenceOperator):
    """Segment images with a bundle, by the configs that are embedded in it.

    The SDK's own `MonaiBundleInferenceOperator` casts images to 8 bits, which would fold objects above 255 on others.

    Named input: `image`, a `LoadedImage` or a `FailedImage`, which is handed on. Named output: `objects`, a
    `SegmentedImage` or a `FailedImage`.

    Args:
        fragment: the application.
        bundle: the exported bundle.
    """

    def __init__(self, fragment: Fragment, *args: Any, bundle: ExportedBundle, **options: Any) -> None:
        self.bundle = bundle
        super().__init__(fragment, *args, **options)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare input and output."""
        spec.input("image")
        spec.output("objects")

    def pre_process(self, data: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        """Bring a loaded image, float32 (3, H, W), to what the network takes, float32 (3, h, w)."""
        return self.bundle.preprocess({"image": data})["image"]

    def predict(self, data: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        """Run the network on a preprocessed image; returns its output, float (C, h, w)."""
        return self.bundle.predict(data)

    def post_process(self, data: torch.Tensor, *args: Any, image: torch.Tensor, **options: Any) -> Objects:
        """Decode the network's output for a preprocessed image into objects (1, H, W)."""
        return self.bundle.decode(image, data)

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Segment an image."""
        loaded = op_input.receive("image")
        if isinstance(loaded, LoadedImage):
            try:
                image = self.pre_process(loaded.image)
                objects = self.post_process(self.predict(image), image=image)
                loaded = SegmentedImage(loaded.item, loaded.image, objects, getattr(image, "meta", {}))
            except Exception as error:  # such as too little memory: the other images are still to be done
                logger.exception("%s failed", loaded.item["image"])
                loaded = FailedImage(loaded.item, reason_of(error, loaded.item["image"]))
        op_output.emit(loaded, "objects")


class ObjectWriterOperator(Operator):
    """Write the files of each image, and with the last image `summary.csv`; the very ones of the bundle's inference.

    Named input: `objects`, a `SegmentedImage` or a `FailedImage`.

    Args:
        fragment: the application.
        results: the folder that takes the files of the same images that are read.
    """

    def __init__(self, fragment: Fragment, *args: Any, results: ResultFolder, **options: Any) -> None:
        self.results = results
        self.n_left = len(results.images.data)
        super().__init__(fragment, *args, **options)

    def setup(self, spec: OperatorSpec) -> None:
        """Declare the input."""
        spec.input("objects")

    def compute(self, op_input: InputContext, op_output: OutputContext, context: ExecutionContext) -> None:
        """Write the files of an image."""
        found = op_input.receive("objects")
        if isinstance(found, FailedImage):
            self.results.add_failure(found.item, found.reason)
        else:
            rgb = found.image.permute(1, 2, 0).numpy()
            self.results.write(found.item, found.objects, rgb, metadata=found.metadata)
        self.n_left -= 1
        if self.n_left == 0:
            self.results.summarise()
