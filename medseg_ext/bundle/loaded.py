"""Keep a bundle's inference, with its network loaded, for one image after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.engines import Evaluator

from medseg_ext.bundle.workflow import open_workflow
from medseg_ext.datasets.readable_images import ReadableImages
from medseg_ext.errors import DataError
from medseg_ext.objects.done_images import Item, Row
from medseg_ext.objects.result_folder import ResultFolder
from medseg_ext.runs.provenance import RunsNetwork
from medseg_ext.tiling.large_images import LargeImages


class ImagesInTurn(ReadableImages):
    """The one image that it is the turn of."""

    def __init__(self, data: Sequence[dict[str, str]], transform: Any = None, **options: Any) -> None:
        self._options = {"transform": transform, **options}
        self.take(*data)

    def take(self, *items: Item) -> None:
        """Take other images; none is readable where `unreadable` says so."""
        self.unreadable = []
        try:
            super().__init__([dict(item) for item in items], **self._options)
        except DataError:
            if items and not self.unreadable:
                raise
            self.data = []


class ResultsInTurn(ResultFolder):
    """Write the files of images, but no summary of them, and leave the other files of the folder alone."""

    def start(self) -> None:
        """Take note of images that cannot be read."""
        for item, reason in self.images.unreadable:
            self.add_failure(item, reason)

    def summarise(self) -> None:
        """Leave it."""

    def take_row(self, item: Item) -> Row:
        """Hand over the row of the summary of an image, and forget it."""
        self._remarks.pop(item["id"], None)
        return self._rows.pop(item["id"])


class LoadedBundle:
    """A bundle's inference with its network loaded, which does images one by one, by the code of a run of all.

    Args:
        bundle: the bundle's folder.
        overrides: values of the config's keys, see `medseg_ext.bundle.workflow.open_workflow`; `output_dir` is to be
            there.
        results: the dotted name of a `ResultsInTurn`.

    Attributes:
        images: the image that it is the turn of.
        results: the folder of the files.
        evaluator: does what fits in the memory.
        large_images: does the others, tile by tile.
        network_inferer: runs the network for both, and tells by which engine.

    Raises:
        DataError: the bundle names code that is not run unasked; there are no weights.
        OverrideError: the config has no such key, or it does not take its value.
    """

    def __init__(
        self, bundle: Path, overrides: Mapping[str, Any], *, results: str = "medseg_ext.bundle.loaded.ResultsInTurn"
    ) -> None:
        workflow = open_workflow(
            bundle,
            "inference",
            {
                **overrides,
                "num_workers": 0,
                "rank": 1,  # the first one has the progress bar, and the lock
                "dataset#_target_": "medseg_ext.bundle.loaded.ImagesInTurn",
                "dataset#data": (),
                "result_folder#_target_": results,
            },
        )
        workflow.initialize()
        told = workflow.parser.get_parsed_content
        self.images: ImagesInTurn = told("dataset")
        self.results: Any = told("result_folder")
        self.evaluator: Evaluator = told("evaluator")
        self.evaluator.state.epoch_length = 1
        self.large_images: LargeImages = told("large_images")
        self.large_images.shows_progress = False
        self.network_inferer: RunsNetwork = told("network_inferer")
        if loader := self.large_images.weights_loader:  # now, and not for each image
            loader.load()
            self.evaluator.remove_event_handler(loader, Events.STARTED)
            self.large_images.weights_loader = None

    def segment(self, item: Item) -> Row:
        """Segment an image and write its files.

        Args:
            item: path of the file under `image`, and its `id`.

        Returns:
            Its row of the summary, which has the reason where the image could not be done.
        """
        self.images.take(item)
        self.segment_taken()
        row: Row = self.results.take_row(item)
        return row

    def segment_taken(self) -> None:
        """Segment the image that is taken, and write its files."""
        if self.images.large:
            self.large_images.run()
        elif self.images.unreadable:
            self.results.start()
        else:
            self.evaluator.run()
