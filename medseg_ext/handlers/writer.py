"""Write what an evaluator finds to the files that people use."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from medseg_ext.data.errors import DataError
from medseg_ext.inference.images import ReadableImages
from medseg_ext.inference.measure import RATIO, summarise_objects
from medseg_ext.inference.tables import to_csv
from medseg_ext.inference.writers import output_paths, write_atomically, write_objects
from medseg_ext.transforms import Objects, read_rgb

SUMMARY_COLUMNS = ("image", "id", "status", "height", "width", "objects", "foreground_fraction", "mean_area_px")

logger = logging.getLogger(__name__)


class ObjectWriter:
    """Write the objects of each image, and at the end `summary.csv` with one row an image.

    It reads `image` (for the file's name) and `id` from each item of the decollated batch, and `pred_instances`,
    `pred_classes` and `pred_scores` from each item of the output. Files are named in
    `medseg_ext.inference.writers.ENDINGS`; older ones are replaced.

    Args:
        output_dir: the folder to write to.
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        images: the data set that is evaluated; its unreadable images go to the summary, too.
    """

    def __init__(
        self, output_dir: str, *, class_names: Sequence[str], object_name: str, images: ReadableImages
    ) -> None:
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.object_name = object_name
        self.images = images
        self._rows: list[dict[str, Any]] = []

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.summarise)

    def start(self, engine: Engine | None = None) -> None:
        """Make the folder ready.

        Raises:
            DataError: an image would be overwritten by a file that is to be written.
        """
        inputs = [item for item, _ in self.images.unreadable] + list(self.images.data)
        written = {path.resolve() for item in inputs for path in output_paths(self.output_dir, item["id"])}
        for item in inputs:
            if Path(item["image"]).resolve() in written:
                raise DataError(f"{item['image']} is one of the images, and would be overwritten: give an output_dir")
        self.output_dir.mkdir(parents=True, exist_ok=True)
        (self.output_dir / "summary.csv").unlink(missing_ok=True)  # of an earlier run: an interrupted one has none
        self._rows = [_row(item, status=f"error: {reason}") for item, reason in self.images.unreadable]

    def write(self, engine: Engine) -> None:
        """Write the files of each image of the batch."""
        state: Any = engine.state  # after MONAI's postprocessing both are lists of dicts
        for batch, output in zip(state.batch, state.output, strict=True):
            item = {"image": batch["image"].meta["filename_or_obj"], "id": batch["id"]}
            objects = Objects(output["pred_instances"], output["pred_classes"], output["pred_scores"])
            self.write_image(item, objects, read_rgb(item["image"]))

    def write_image(self, item: dict[str, str], objects: Objects, image_rgb: np.ndarray) -> None:
        """Write the files of one image, and remember its row of the summary.

        Args:
            item: path of the file under `image`, and its `id`.
            objects: what was found, in the size of the image.
            image_rgb: the image as it came, float (H, W, 3) in [0, 1].
        """
        table = write_objects(
            self.output_dir,
            item["id"],
            objects,
            image_rgb,
            class_names=self.class_names,
            object_name=self.object_name,
        )
        self._rows.append(_row(item, status="ok", **summarise_objects(table, image_rgb.shape[:2])))

    def summarise(self, engine: Engine | None = None) -> None:
        """Write `summary.csv`, its rows in order of the images' names."""
        with_ratio = {"nucleus", "cytoplasm"} <= set(self.class_names)
        columns = [*SUMMARY_COLUMNS, *([f"median_{RATIO}"] if with_ratio else [])]
        rows = sorted(self._rows, key=lambda row: row["image"])
        write_atomically(self.output_dir / "summary.csv", to_csv(columns, rows))
        done = [row for row in rows if row["status"] == "ok"]
        logger.info(
            "%d objects in %d images (%d could not be read): %s",
            sum(row["objects"] for row in done),
            len(done),
            len(rows) - len(done),
            self.output_dir.absolute(),
        )


def _row(item: dict[str, str], **values: Any) -> dict[str, Any]:
    return {"image": Path(item["image"]).name, "id": item["id"], **values}
