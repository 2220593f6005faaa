"""Write the results of many images into one folder, with a table of them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medseg_ext.addresses import address_of, trace_without_secrets
from medseg_ext.errors import DataError, reason_of
from medseg_ext.files import as_text, file_key, folder_to_disk, tree_to_disk, write_atomically
from medseg_ext.images.channels import Choice, is_list
from medseg_ext.images.contrast import Limit
from medseg_ext.images.eight_bit import as_prepared
from medseg_ext.images.ome_zarr import zarr_package
from medseg_ext.images.pixel_size import given_pixel_size_um, read_pixel_size_um
from medseg_ext.images.result_names import SUMMARY_FILE
from medseg_ext.objects.coco import COCO_FILE, is_own_coco, join_parts, refuse_other_coco
from medseg_ext.objects.diameters import DIAMETER, SCALE, noted_sizes
from medseg_ext.objects.done_images import DoneImages, Item, Note, Row, note_image
from medseg_ext.objects.earlier_results import earlier_ids, refuse_results_of_others, remove_results
from medseg_ext.objects.formats import (
    COCO,
    DEFAULT_FORMATS,
    LABEL_MAP,
    ZARR_FORMATS,
    ResultFormats,
    coco_part,
    remove_result,
)
from medseg_ext.objects.label_zarr import refuse_labels_in, write_labels_into
from medseg_ext.objects.measurements import RATIO, intensity_names, summarise_objects
from medseg_ext.objects.objects import Objects
from medseg_ext.objects.output_folder import refuse_results_among_images
from medseg_ext.objects.remote_results import RemoteResults
from medseg_ext.objects.result_files import write_objects
from medseg_ext.objects.training_images import TrainingImages, measures
from medseg_ext.tables import to_csv

GALLERY_FILE = "gallery.html"
SUMMARY_COLUMNS = (
    "image", "id", "status", "height", "width", "objects", "foreground_fraction", "mean_area_px",
    "mean_area_um2", DIAMETER, SCALE, "remarks",
)  # fmt: skip
DONE, FAILED = "ok", "error: "  # status of an image; what follows is the reason
BETWEEN_REMARKS = " | "

logger = logging.getLogger(__name__)


class InputImages(Protocol):
    """The images of a run, such as `medseg_ext.datasets.ReadableImages`."""

    @property
    def data(self) -> Sequence[Item]:
        """Those that are done one by one."""

    @property
    def large(self) -> Sequence[Item]:
        """Those that are done tile by tile."""

    @property
    def unreadable(self) -> Sequence[tuple[Item, str]]:
        """The others, each with the reason."""

    @property
    def page(self) -> int:
        """Which page of a TIFF is read, from 0."""

    @property
    def channel(self) -> Choice:
        """As which channels images are read, see `medseg_ext.images.read_rgb`."""

    @property
    def remarks(self) -> Mapping[str, Sequence[str]]:
        """What a person is to be told of images, by their id."""


class TakesNotes(Protocol):
    """What takes notes of images that are done, such as `medseg_ext.objects.done_images.DoneImages`."""

    def start(self) -> None:
        """Make ready; it may be called again."""

    def add(self, note: Note) -> None:
        """Take a note, see `note_image`."""


class ResultFolder:
    """Write the files of each image, and at the end `summary.csv` with one row an image.

    Files are named in `medseg_ext.objects.formats`; older ones are replaced. COCO's JSON is one for all images. An
    image whose files cannot be written is reported in the summary, and the others are still done.

    Args:
        output_dir: the folder to write to.
        class_names: name of each value of the class map, the background first.
        object_name: what an object is, such as "nucleus".
        images: those of the run; its unreadable ones go to the summary, too.
        output_format: of the label map, see `medseg_ext.objects.formats.LABEL_MAP_ENDINGS`.
        formats: of the other files, see `medseg_ext.objects.formats.FORMATS`.
        labels_in_image: write label maps in OME-Zarr into the images, too, which are OME-Zarr themselves: into the
            folder `labels`, under the name of an object.
        training_images: file of what is known of the network's training images, by which images that are unlike them
            get a remark, see `TrainingImages`; without the file, as of weights that were trained before there was one,
            none does.
        pixel_size_um: length of a pixel, in micrometres, or (height, width); None takes what an image's file tells.
        bundle: folder of the bundle, whose results are kept apart from those of others; None where it is not known.
        overwrite: remove results of other images, or of another bundle, which are refused otherwise.

    Attributes:
        formats: which files an image gets.
        intensities: names of the columns of the channels' means.
        viewer: takes each image and its pictures as `ShowPictures`; None if nobody wants them.
        done: takes a note of each image that is done, by which a later run can go on. None until the folder is made
            ready, which then takes notes of its own: they only tell later runs whose results these are.
        remote: the same folder at an address, which takes the files of each image; None for nothing.
        when_done: is called after each image, be it done or failed, such as by a progress bar; None for nothing.

    Raises:
        DataError: another format; `training_images` is broken; `pixel_size_um` is no size.
    """

    def __init__(
        self,
        output_dir: Path | str,
        *,
        class_names: Sequence[str],
        object_name: str,
        images: InputImages,
        output_format: str = "tiff",
        formats: Sequence[str] = DEFAULT_FORMATS,
        labels_in_image: bool = False,
        training_images: Path | str | None = None,
        pixel_size_um: float | Sequence[float] | None = None,
        bundle: Path | str | None = None,
        overwrite: bool = False,
    ) -> None:
        self.formats = ResultFormats(output_format, tuple(formats))
        if self.formats.zarr_format is not None:
            zarr_package(f"output_format {output_format}")  # before anything is done
        elif labels_in_image:
            raise DataError(f"labels_in_image wants --output_format {' or '.join(ZARR_FORMATS)}, not {output_format}")
        self.labels_in_image = labels_in_image
        self.output_dir = Path(output_dir)
        self.class_names = list(class_names)
        self.object_name = object_name
        self.images = images
        self.intensities = intensity_names(images.channel)
        self.bundle = Path(bundle).resolve().name if bundle else ""
        self.overwrite = overwrite
        self._given_pixel_size_um = given_pixel_size_um(pixel_size_um)
        known = Path(training_images) if training_images is not None else None
        self._training_images = TrainingImages.read(known) if known is not None and known.is_file() else None
        self.viewer: Callable[[Item, NDArray[np.uint8], NDArray[np.uint8]], None] | None = None
        self.done: TakesNotes | None = None
        self._own_notes: DoneImages | None = None
        self.remote: RemoteResults | None = None
        self.when_done: Callable[[], object] | None = None
        self._rows: dict[str, Row] = {}  # by id
        self._remarks: defaultdict[str, list[str]] = defaultdict(list)  # likewise

    @property
    def failed(self) -> list[tuple[str, str]]:
        """File name of each image that could not be done so far, and the reason."""
        rows = (row for row in self._rows.values() if row["status"] != DONE)
        return [(row["image"], row["status"].removeprefix(FAILED)) for row in rows]

    def pixel_size_um(self, item: Item) -> tuple[float, float] | None:
        """Say how large a pixel of an image is, (height, width) in micrometres; None where nothing tells."""
        return self._given_pixel_size_um or read_pixel_size_um(item["image"], page=self.images.page)

    def check(self) -> None:
        """Look whether results can be written, before anything is.

        Raises:
            DataError: an image would be overwritten by a file that is to be written, or lies in the folder; two images
                would share files; the folder holds results of other images or of another bundle; or a file is there of
                the same name but a format that is not written, which would be taken for one of this run, or a
                `COCO_FILE` of somebody else.
        """
        inputs = [*(item for item, _ in self.images.unreadable), *self.images.large, *self.images.data]
        by_id: dict[str, Item] = {}
        for item in inputs:
            other = by_id.setdefault(file_key(item["id"]), item)
            if other is not item:
                raise DataError(
                    f"{item['image']} and {other['image']} would share their files, as the ids '{item['id']}' and "
                    f"'{other['id']}' are one name on some systems: rename one"
                )
        written = {
            file_key(place): place
            for item in inputs
            for path in self.paths_of(item).values()
            for place in [os.path.realpath(path)]  # not Path.resolve, which refuses a link to itself
        }
        for item in inputs:
            place = os.path.realpath(item["image"])  # of an address no file at all
            if _is_one_file(place, written.get(file_key(place))):
                raise DataError(f"{item['image']} is one of the images, and would be overwritten: give an output_dir")
        refuse_results_among_images(self.output_dir, inputs)
        if self.labels_in_image:
            for item in inputs:
                if item["id"] not in self._rows:  # done, it has its labels
                    refuse_labels_in(Path(item["image"]), self.object_name)
        if not self.overwrite:
            refuse_results_of_others(self.output_dir, inputs, kept=self._rows.keys(), bundle=self.bundle)
        for path in (path for item in inputs for path in self.formats.others(self.output_dir, item["id"])):
            if os.path.lexists(path):
                raise DataError(
                    f"{path} is there already, and would stand beside the files that are to be written "
                    f"({self.formats.output_format}{''.join(f', {name}' for name in self.formats.formats)}) as if it "
                    "were of this run: move it away, or give another output_dir"
                )
        if COCO in self.formats.formats:
            refuse_other_coco(self.output_dir)

    def paths_of(self, item: Item) -> dict[str, Path]:
        """Name the files of an image, see `medseg_ext.objects.ResultFormats`."""
        return self.formats.paths(self.output_dir, item["id"])

    def start(self) -> None:
        """Make the folder ready.

        Raises:
            DataError: see `check`.
        """
        self.check()
        self.output_dir.mkdir(parents=True, exist_ok=True)
        remove_results(self.output_dir, [each for each in earlier_ids(self.output_dir) if each not in self._rows])
        for of_an_earlier_run in (SUMMARY_FILE, GALLERY_FILE):  # an interrupted one has none
            (self.output_dir / of_an_earlier_run).unlink(missing_ok=True)
        if is_own_coco(self.output_dir):
            (self.output_dir / COCO_FILE).unlink()
        if COCO not in self.formats.formats:
            for item in (*self.images.large, *self.images.data):
                coco_part(self.output_dir, item["id"]).unlink(missing_ok=True)
        if self.done is None:
            self.done = self._own_notes = DoneImages(self.output_dir, None, formats=self.formats)
        self.done.start()
        if self.remote is not None:
            self.remote.prune()
            inputs = (*self.images.large, *self.images.data)
            self.remote.announce(item for item in inputs if item["id"] not in self._rows)
        for item, reason in self.images.unreadable:
            self.add_failure(item, reason)

    def add(self, item: Item, summary: dict[str, Any]) -> None:
        """Take note of an image whose files are written; see `medseg_ext.objects.summarise_objects`.

        Raises: DataError, OSError: the labels cannot be written into the image, or the files to an address.
        """
        if self.labels_in_image:
            image = Path(item["image"])
            size = self.pixel_size_um(item)
            write_labels_into(image, self.paths_of(item)[LABEL_MAP], name=self.object_name, pixel_size_um=size)
        if self.remote is not None:
            self.remote.add(self.paths_of(item).values())
        row = self._row(item, status=DONE, **summary)
        self.take_over([row])
        if self.done is not None:
            with contextlib.suppress(FileNotFoundError) if self._own_notes else contextlib.nullcontext():  # see `done`
                self.done.add(note_image(item, row, output_dir=self.output_dir, formats=self.formats))
        self._tell()

    def take_over(self, rows: Iterable[Row]) -> None:
        """Take rows of the summary that are made elsewhere: by an earlier run, or another process."""
        self._rows.update({row["id"]: row for row in rows})

    def add_failure(self, item: Item, reason: str) -> None:
        """Take note of an image that could not be done, and remove what an earlier run made of it."""
        for path in self.paths_of(item).values():
            with contextlib.suppress(OSError):
                remove_result(path)
        if self.remote is not None:
            try:
                self.remote.drop(self.paths_of(item).values())
            except DataError as error:
                reason = f"{reason}; {error}"
        is_new = item["id"] not in self._rows
        self._rows[item["id"]] = self._row(item, status=f"{FAILED}{reason}")
        if is_new:  # what cannot be read is told again whenever a part of the run starts
            self._tell()

    def remark(self, item: Item, text: str) -> None:
        """Take note of what people are to be told of an image, before it is added."""
        self._remarks[item["id"]].append(text)
        logger.warning("%s: %s", as_text(item["image"]), as_text(text))

    def compare_with_training_images(
        self,
        item: Item,
        image: np.ndarray,
        diameter_px: float | None = None,
        *,
        limits: tuple[Limit, Limit] | None = None,
    ) -> None:
        """Remark that an image is unlike the training images, which were prepared, where it is.

        Args:
            item: the image.
            image: as it came, or a part of it, float (H, W, C) in [0, 1].
            diameter_px: of a typical object, None of a part.
            limits: black and white of the whole image, of a part.
        """
        if self._training_images is not None:
            prepared = as_prepared(image, apart=is_list(self.images.channel), limits=limits)
            remark = self._training_images.remark(measures(prepared, diameter_px))
            if remark is not None:
                self.remark(item, remark)

    def show(self, item: Item, picture: NDArray[np.uint8], overlay: NDArray[np.uint8]) -> None:
        """Hand the pictures of an image to the viewer, if there is one."""
        if self.viewer is not None:
            self.viewer(item, picture, overlay)

    def write(
        self,
        item: Item,
        objects: Objects,
        image: np.ndarray,
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Write the files of one image; where that fails, such as on a full disk, take note of it.

        Args:
            item: path of the file under `image`, and its `id`.
            objects: what was found, in the size of the image.
            image: as it came, float (H, W, C) in [0, 1].
            metadata: of the image that went through the network, which tell at which scale it did; for the summary.
        """
        try:
            table = write_objects(
                self.output_dir,
                item["id"],
                objects,
                image,
                class_names=self.class_names,
                object_name=self.object_name,
                pixel_size_um=self.pixel_size_um(item),
                intensities=self.intensities,
                formats=self.formats,
                source=item["image"],
                show=partial(self.show, item),
            )
            sizes = noted_sizes(metadata or {})
            self.compare_with_training_images(item, image, sizes.get(DIAMETER))
            self.add(item, summarise_objects(table, image.shape[:2]) | sizes)
        except Exception as error:
            trace = trace_without_secrets(error)
            logger.error("the objects of %s cannot be written\n%s", as_text(item["image"]), trace)
            self.add_failure(item, reason_of(error, item["image"]))

    def summarise(self) -> None:
        """Write `summary.csv`, its rows in order of the images' names and ids, and `COCO_FILE` where it is wanted.

        Raises:
            DataError: not one image is done.
        """
        with_ratio = {"nucleus", "cytoplasm"} <= set(self.class_names)
        columns = [*SUMMARY_COLUMNS, *([f"median_{RATIO}"] if with_ratio else [])]
        rows = sorted(self._rows.values(), key=lambda row: (row["image"], row["id"]))
        done = [row for row in rows if row["status"] == DONE]
        if self.formats.zarr_format is not None:
            for row in done:
                tree_to_disk(self.paths_of(row)[LABEL_MAP])
        if self._own_notes is not None:
            self._own_notes.close()
            self.done = self._own_notes = None
        folder_to_disk(self.output_dir)
        write_atomically(self.output_dir / SUMMARY_FILE, to_csv(columns, rows))
        if done and COCO in self.formats.formats:
            parts = [coco_part(self.output_dir, row["id"]) for row in done]
            join_parts(self.output_dir, parts, object_name=self.object_name)
        if rows and not done:
            raise DataError(f"none of {len(rows)} images is done; the first: {rows[0]['image']}: {rows[0]['status']}")
        logger.info(
            "%d objects in %d images (%d failed): %s",
            sum(row["objects"] for row in done),
            len(done),
            len(rows) - len(done),
            self.output_dir.absolute(),
        )

    def _tell(self) -> None:
        if self.when_done is not None:
            self.when_done()

    def _row(self, item: Item, *, status: str, **values: Any) -> Row:
        remarks = as_text(BETWEEN_REMARKS.join([*self.images.remarks.get(item["id"], ()), *self._remarks[item["id"]]]))
        name, image_id = place_in_summary(item)
        return {"image": name, "id": image_id, "status": as_text(status), "remarks": remarks, **values}


def place_in_summary(item: Item) -> tuple[str, str]:
    """Give what the rows of `summary.csv` are ordered by: the name of an image's file, or its address, and its id."""
    image = item["image"]
    return as_text(Path(image).name if address_of(image) is None else image), item["id"]


def _is_one_file(place: str, other: str | None) -> bool:
    """Say whether two real paths, alike but for letters' case, are one file: the file system decides."""
    if other is None or place == other:
        return place == other
    try:
        return Path(place).samefile(other)
    except OSError:  # one of them is not there
        return False
