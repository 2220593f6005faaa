"""The application: from a folder of images to a folder of objects, by an exported bundle."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.deploy.core import AppContext, Application, TorchScriptModel, init_app_context

from medseg_ext.bundle.exported_bundle import REMEDY, read_exported_bundle
from medseg_ext.datasets.image_list import list_images
from medseg_ext.datasets.readable_images import ReadableImages
from medseg_ext.deploy.operators import BundleSegmentationOperator, ImageFolderReaderOperator, ObjectWriterOperator
from medseg_ext.errors import DataError
from medseg_ext.folder_lock import FolderLock
from medseg_ext.objects.result_folder import ResultFolder
from medseg_ext.objects.training_images import TRAINING_IMAGES_FILE

TOO_LARGE = "is too large for the application, which holds an image as a whole: use `medseg segment`, or cut it"


class SegmentationApplication(Application):
    """Segment the images of a folder with an exported bundle.

    Args:
        context: tells the folder of images (or one image), the folder to write to, and the exported bundle.

    Raises:
        DataError: no image can be read; an image would be overwritten; the model is no exported bundle.
    """

    def __init__(self, context: AppContext, **options: Any) -> None:
        super().__init__(**options)  # first: Holoscan cannot dispose of an application that it has not begun
        # Here and not in `compose`: nothing runs when something is amiss.
        model = _model_file(context)
        self.bundle = read_exported_bundle(model)
        self.images = ReadableImages(list_images(context.input_path), self.bundle.load, channel=self.bundle.channel)
        self.results = ResultFolder(
            context.output_path,
            class_names=self.bundle.class_names,
            object_name=self.bundle.object_name,
            images=self.images,
            training_images=model.with_name(TRAINING_IMAGES_FILE),
        )
        for item in self.images.large:
            self.results.add_failure(item, TOO_LARGE)
        if len(self.images) == 0:
            raise DataError(f"no image is left to segment; the first: {self.images.large[0]['image']} {TOO_LARGE}")

    def compose(self) -> None:
        """Join the operators."""
        read = ImageFolderReaderOperator(self, images=self.images, name="read")
        segment = BundleSegmentationOperator(self, bundle=self.bundle, name="segment")
        write = ObjectWriterOperator(self, results=self.results, name="write")
        self.add_flow(read, segment, {("image", "image")})
        self.add_flow(segment, write, {("objects", "objects")})


def main(arguments: Sequence[str]) -> int:
    """Run the application.

    Args:
        arguments: words of the command line, the program first; those of every application of the SDK. What is not
            given is taken from the environment (`HOLOSCAN_INPUT_PATH`, `..._OUTPUT_PATH`, `..._MODEL_PATH`).

    Returns:
        The exit status.
    """
    context = init_app_context(list(arguments))
    try:
        application = SegmentationApplication(context)
        with FolderLock(application.results.output_dir, what="a segmentation"):
            application.results.start()
            application.run()
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _model_file(context: AppContext) -> Path:
    """Find the file of the one model; in a package it is in a folder of its own below that of the models."""
    models = dict(context.models.items()) if context.models else {}
    if len(models) != 1 or not isinstance(model := next(iter(models.values())), TorchScriptModel):
        raise DataError(f"{context.model_path} is not one model in TorchScript: {REMEDY}")
    return Path(model.path)
