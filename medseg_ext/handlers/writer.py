"""Write what an evaluator finds to the files that people use."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from medseg_ext.data.errors import DataError
from medseg_ext.data.formats import as_text
from medseg_ext.data.pixel_size import read_pixel_size_um
from medseg_ext.inference.images import ReadableImages, reason_of
from medseg_ext.inference.measure import RATIO, summarise_objects
from medseg_ext.inference.tables import to_csv
from medseg_ext.inference.writers import ENCODERS, output_paths, write_atomically, write_objects
from medseg_ext.report.gallery import GALLERY_FILE
from medseg_ext.transforms import Objects, read_rgb

SUMMARY_COLUMNS = ("image", "id", "status", "height", "width", "objects", "foreground_fraction", "mean_area_px")

logger = logging.getLogger(__name__)


class ObjectWriter:
    """Write the objects of each image, and at the end `summary.csv` with one row an image.

    It reads `id` from each item of the decollated batch, and `pred_instances`, `pred_classes` and `pred_scores` from
    each item of the output; or `error`, the reason why the image failed. Files are named in
    `medseg_ext.inference.writers.ENDINGS`; older ones are replaced. An image whose files cannot be written is reported
    in the summary, and the others are still done.

    Args:
        output_dir: the folder to write to.
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        images: the data set that is evaluated; its unreadable images go to the summary, too.
        output_format: of the label map, "tiff" or "nifti".

    Raises:
        DataError: another output format.
    """

    def __init__(
        self,
        output_dir: str,
        *,
        class_names: Sequence[str],
        object_name: str,
        images: ReadableImages,
        output_format: str = "tiff",
    ) -> None:
        if output_format not in ENCODERS:
            raise DataError(f"output_format must be one of {', '.join(ENCODERS)}, got {output_format!r}")
        self.output_format = output_format
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.object_name = object_name
        self.images = images
        self._rows: dict[str, dict[str, Any]] = {}  # by id

    def attach(self, engine: Engine) -> None:
        """Attach to an evaluator."""
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.write)
        engine.add_event_handler(Events.COMPLETED, self.summarise)

    def start(self, engine: Engine | None = None) -> None:
        """Make the folder ready.

        Raises:
            DataError: an image would be overwritten by a file that is to be written, or a label map of the same name
                but another format is there, which would be taken for one of this run.
        """
        inputs = [item for item, _ in self.images.unreadable] + self.images.large + list(self.images.data)
        written = {
            os.path.realpath(path)  # not Path.resolve, which refuses a link to itself
            for item in inputs
            for path in output_paths(self.output_dir, item["id"], output_format=self.output_format)
        }
        for item in inputs:
            if os.path.realpath(item["image"]) in written:
                raise DataError(f"{item['image']} is one of the images, and would be overwritten: give an output_dir")
        for other in [name for name in ENCODERS if name != self.output_format]:
            for item in inputs:
                label_map = output_paths(self.output_dir, item["id"], output_format=other)[0]
                if os.path.lexists(label_map):
                    raise DataError(
                        f"{label_map} is there already, and would stand beside the label map that is to be written as "
                        f"{self.output_format}: move it away, or give another output_dir"
                    )
        self.output_dir.mkdir(parents=True, exist_ok=True)
        for of_an_earlier_run in ("summary.csv", GALLERY_FILE):  # an interrupted one has none
            (self.output_dir / of_an_earlier_run).unlink(missing_ok=True)
        for item, reason in self.images.unreadable:
            self.add_failure(item, reason)

    def add(self, item: dict[str, str], summary: dict[str, Any]) -> None:
        """Take note of an image whose files are written; see `medseg_ext.inference.summarise_objects`."""
        self._rows[item["id"]] = _row(item, status="ok", **summary)

    def add_failure(self, item: dict[str, str], reason: str) -> None:
        """Take note of an image that could not be done."""
        self._rows[item["id"]] = _row(item, status=f"error: {reason}")

    def write(self, engine: Engine) -> None:
        """Write the files of each image of the batch."""
        state: Any = engine.state  # after MONAI's postprocessing both are lists of dicts
        items = {item["id"]: item for item in self.images.data}
        for batch, output in zip(state.batch, state.output, strict=True):
            item = items[batch["id"]]
            if "error" in output:
                self.add_failure(item, output["error"])
                continue
            try:
                objects = Objects(output["pred_instances"], output["pred_classes"], output["pred_scores"])
                self.write_image(item, objects, read_rgb(item["image"], page=self.images.page))
            except Exception as error:  # such as a full disk: the others are still to be tried
                logger.exception("the objects of %s cannot be written", as_text(item["image"]))
                self.add_failure(item, reason_of(error, item["image"]))

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
            pixel_size_um=read_pixel_size_um(item["image"], page=self.images.page),
            output_format=self.output_format,
        )
        self.add(item, summarise_objects(table, image_rgb.shape[:2]))

    def summarise(self, engine: Engine | None = None) -> None:
        """Write `summary.csv`, its rows in order of the images' names.

        Raises:
            DataError: not one image is done.
        """
        with_ratio = {"nucleus", "cytoplasm"} <= set(self.class_names)
        columns = [*SUMMARY_COLUMNS, *([f"median_{RATIO}"] if with_ratio else [])]
        rows = sorted(self._rows.values(), key=lambda row: row["image"])
        write_atomically(self.output_dir / "summary.csv", to_csv(columns, rows))
        done = [row for row in rows if row["status"] == "ok"]
        if rows and not done:
            raise DataError(f"none of {len(rows)} images is done; the first: {rows[0]['image']}: {rows[0]['status']}")
        logger.info(
            "%d objects in %d images (%d failed): %s",
            sum(row["objects"] for row in done),
            len(done),
            len(rows) - len(done),
            self.output_dir.absolute(),
        )


def _row(item: dict[str, str], *, status: str, **values: Any) -> dict[str, Any]:
    return {"image": as_text(Path(item["image"]).name), "id": item["id"], "status": as_text(status), **values}
