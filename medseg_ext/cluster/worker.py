"""What a worker does: the tasks of an inference."""

from __future__ import annotations

import platform
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from distributed import get_worker
from numpy.typing import NDArray

from medseg_ext.addresses import know_secrets
from medseg_ext.bundle.loaded import LoadedBundle, ResultsInTurn
from medseg_ext.bundle.result_settings import result_settings
from medseg_ext.bundle.trust import trusting
from medseg_ext.bundle.workflow import open_workflow, quiet, telling_the_cause
from medseg_ext.errors import DataError, reason_of
from medseg_ext.files import temporary_folder
from medseg_ext.images.blocks import pixel_io
from medseg_ext.objects.done_images import Item, Note, Row, differing_settings
from medseg_ext.objects.remote_results import RemoteResults
from medseg_ext.objects.result_folder import DONE
from medseg_ext.pages.gallery_pictures import Views, make_views
from medseg_ext.tiling.large_images import View
from medseg_ext.tiling.tile_files import load_objects, save_objects


@dataclass(frozen=True)
class Order:
    """What all tasks of a run have in common; all folders are the same on all machines.

    Attributes:
        bundle: the bundle's folder.
        output_dir: folder of the results.
        overrides: values of the config's keys.
        settings: those of the process that orders: a worker's are to be the same.
        threads: of a worker; None for as many as its process says that it has.
        small_bytes: of a small view for the gallery, see `medseg_ext.pages.gallery_pictures`; None without a gallery.
        verbose: leave the log of libraries, and warnings, in the terminal.
        trusts: run any code of the bundle, as the process that orders does.
        address: of `output_dir`, if it is there that the files are to go.
        secrets: of addresses, see `medseg_ext.addresses.secrets_of`.
    """

    bundle: str
    output_dir: str
    overrides: Mapping[str, Any]
    settings: Mapping[str, Any]
    threads: int | None
    small_bytes: int | None
    verbose: bool
    trusts: bool = False
    address: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Tell orders apart."""
        return repr(self)


class Answer(NamedTuple):
    """What came of an image.

    Attributes:
        row: of the summary; None of an image that is to be segmented tile by tile.
        note: where it is done, see `note_image`.
        view: of an image that is to be segmented tile by tile.
        tiles: their number.
        views: small and large ones of an image that is done, for a gallery.
        engine: what ran the network there, see `medseg_ext.runs.provenance.RunsNetwork`; None where it did not run.
    """

    row: Row | None = None
    note: Note | None = None
    view: View | None = None
    tiles: int = 0
    views: tuple[Views, Views] | None = None
    engine: tuple[str, str] | None = None


class TileAnswer(NamedTuple):
    """What came of a tile: the reason if it failed, else what ran the network, as in `Answer`."""

    reason: str | None = None
    engine: tuple[str, str] | None = None


def segment_image(order: Order, item: Item, with_large_views: bool) -> Answer:
    """Segment an image and write its files, or look at a large one."""
    with _bundle_of(order) as bundle:
        bundle.results.with_large_views = with_large_views
        answer = bundle.answer(item)
        is_done = answer.row is not None and answer.row["status"] == DONE
        return answer._replace(engine=bundle.network_inferer.engine_used) if is_done else answer


def segment_tile(order: Order, item: Item, view: View, number: int, workshop: str) -> TileAnswer:
    """Segment a tile of a large image, and write its objects to a file."""
    with _bundle_of(order) as bundle:
        try:
            bundle.segment_tile(item, view, number, tile_file(workshop, number))
        except Exception as error:
            return TileAnswer(reason=reason_of(error, item["image"]))
        return TileAnswer(engine=bundle.network_inferer.engine_used)


def join_tiles(order: Order, item: Item, with_large_views: bool, view: View, tiles: int, workshop: str) -> Answer:
    """Join the objects of all tiles of a large image, and write its files."""
    with _bundle_of(order) as bundle:
        bundle.results.with_large_views = with_large_views
        paths = [tile_file(workshop, number) for number in range(tiles) if number not in view.glass]
        return bundle.join_tiles(item, view, paths, Path(workshop))


def tile_file(workshop: str, number: int) -> Path:
    """Name the file of a tile's objects."""
    return Path(workshop, f"{number}.npz.zst")


class LatestNote:
    """Keep the note of the image that a worker is at.

    Attributes:
        note: see `note_image`.
    """

    note: Note | None = None

    def start(self) -> None:
        """Do nothing: the one that orders has the file."""

    def add(self, note: Note) -> None:
        """Take a note."""
        self.note = note


class WorkersResults(ResultsInTurn):
    """Write the files of images in turn, with notes and views of them for the one that orders.

    Attributes:
        small_bytes: see `Order`.
        with_large_views: make large views of the image, too.
    """

    done: LatestNote
    small_bytes: int | None = None
    with_large_views = False
    _views: tuple[Views, Views] | None = None

    def answer(self, item: Item) -> Answer:
        """Hand over what is known of an image, and forget it."""
        row = self.take_row(item)
        answer = Answer(row, self.done.note, views=self._views) if row["status"] == DONE else Answer(row)
        self.done.note = self._views = None
        return answer

    def show(self, item: Item, picture: NDArray[np.uint8], overlay: NDArray[np.uint8]) -> None:
        """Make the views of an image."""
        if self.small_bytes is not None:
            with_large = self.with_large_views
            self._views = make_views(picture, overlay, small_bytes=self.small_bytes, with_large=with_large)


class WorkersBundle(LoadedBundle):
    """A bundle that does the tasks of an order, image by image or tile by tile."""

    results: WorkersResults

    def __init__(self, order: Order) -> None:
        torch.set_num_threads(order.threads or get_worker().state.nthreads)
        know_secrets(order.secrets)
        bundle, output_dir = Path(order.bundle), Path(order.output_dir)
        for folder in (bundle, output_dir):
            if not folder.is_dir():
                remedy = ", and TMPDIR as well where results go to an address" if order.address else ""
                raise DataError(
                    f"there is no {folder} on {platform.node()}: all machines are to share the folders{remedy}"
                )
        with trusting(order.trusts):
            as_ordered = open_workflow(bundle, "inference", order.overrides)
        _refuse_other_settings(result_settings(as_ordered, order.overrides), order)
        with trusting(order.trusts):
            overrides = {**order.overrides, "output_dir": output_dir}
            super().__init__(bundle, overrides, results="medseg_ext.cluster.worker.WorkersResults")
        self.results.done = LatestNote()
        self.results.remote = RemoteResults(order.address, output_dir) if order.address else None
        self.results.small_bytes = order.small_bytes

    def answer(self, item: Item) -> Answer:
        """Segment an image and write its files, or look at a large one."""
        self.images.take(item)
        if self.images.large:
            return self._look_at(item)
        self.segment_taken()
        return self.results.answer(item)

    def segment_tile(self, item: Item, view: View, number: int, path: Path) -> None:
        """Segment a tile of a large image, and write its objects to a file; what tiles share lies beside it."""
        with pixel_io():
            image = self.large_images.open(item)
            tile = self.large_images.tiles(image, view)[number]
            save_objects(path, self.large_images.objects_of(image, view, tile, workshop=path.parent))

    def join_tiles(self, item: Item, view: View, paths: Iterable[Path], workshop: Path) -> Answer:
        """Join the objects of all tiles of a large image, and write its files."""
        self.images.take(item)
        try:
            with pixel_io(), temporary_folder(workshop) as folder:
                image, objects = self.large_images.open(item), map(load_objects, paths)
                summary = self.large_images.join(item, image, view, objects, workshop=folder)
                self.results.add(item, summary)
        except Exception as error:
            self.results.add_failure(item, reason_of(error, item["image"]))
        return self.results.answer(item)

    def _look_at(self, item: Item) -> Answer:
        try:
            with pixel_io():
                image = self.large_images.open(item)
                if image.has_blocks:
                    view = self.large_images.view(item, image)
                    return Answer(view=view, tiles=len(self.large_images.tiles(image, view)))
        except Exception as error:
            self.results.add_failure(item, reason_of(error, item["image"]))
        else:
            self.segment_taken()  # whoever does a tile of it would have to decode it as a whole
        return self.results.answer(item)


_guard = threading.Lock()
_loaded: dict[str, WorkersBundle] = {}  # of this process: the latest one


@contextmanager
def _bundle_of(order: Order) -> Iterator[WorkersBundle]:
    """Give the order's bundle to one thread at a time."""
    with _guard, quiet(log=not order.verbose, warnings_too=not order.verbose), telling_the_cause():
        if order.key not in _loaded:
            _loaded.clear()
            _loaded[order.key] = WorkersBundle(order)
        yield _loaded[order.key]


def _refuse_other_settings(own: Mapping[str, Any], order: Order) -> None:
    if differences := differing_settings(order.settings, own):
        raise DataError(
            f"{platform.node()} is set up otherwise than the machine that orders ({'; '.join(differences)}, there): "
            "all are to have the same environment and bundle"
        )
