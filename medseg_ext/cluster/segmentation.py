"""Segment images on the workers of a cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from tqdm import tqdm

from medseg_ext.addresses import secrets_of
from medseg_ext.bundle.segmentation import SegmentationRun
from medseg_ext.bundle.trust import is_trusting
from medseg_ext.bundle.values import OverrideError
from medseg_ext.bundle.workflow import quiet
from medseg_ext.cluster.connection import Connection, connect, start_workers
from medseg_ext.cluster.tasks import Task, run_tasks
from medseg_ext.cluster.worker import Answer, Order, TileAnswer, join_tiles, segment_image, segment_tile
from medseg_ext.files import remove_unfinished, temporary_folder
from medseg_ext.objects.done_images import Item
from medseg_ext.objects.result_folder import ResultFolder
from medseg_ext.pages.gallery_pictures import GalleryPictures
from medseg_ext.runs.provenance import note_engines
from medseg_ext.tiling.large_images import View


@dataclass(frozen=True)
class ClusterSegmentation:
    """Carry a run out on workers; see `medseg_ext.bundle.segmentation.segment`.

    An image is a task, and of a large image a tile. Workers write the files of their images, and what comes back is a
    row of the summary; so folders are to be the same on all machines.

    Attributes:
        workers: number of processes to start on this machine; None to connect to a scheduler.
        scheduler: address of that of a cluster.
    """

    workers: int | None = None
    scheduler: str | None = None

    def __call__(self, run: SegmentationRun) -> None:
        """Do the images of a run, and write its summary."""
        if "num_workers" in run.overrides:
            raise OverrideError("--num_workers: leave it out, as each worker loads the image that it is at")
        results = run.open_results()
        with (
            quiet(log=not run.verbose, warnings_too=not run.verbose),
            self._connection(run) as connection,
            # disable=None: no bar where the output is no terminal
            tqdm(total=len(run.items), initial=len(run.rows), unit="image", disable=None) as bar,
        ):
            order = Order(
                bundle=str(run.bundle),
                output_dir=str(run.output_dir),
                overrides=run.overrides,
                settings=run.settings,
                threads=connection.threads_per_image,
                small_bytes=run.pictures.small_bytes if run.pictures else None,
                verbose=run.verbose,
                trusts=is_trusting(),
                address=run.remote.address if run.remote else None,
                secrets=secrets_of(
                    [*(item["image"] for item in run.items), *([run.remote.address] if run.remote else [])]
                ),
            )
            engines: set[tuple[str, str]] = set()
            images = (_Image(order, item, results, run.pictures, bar, engines).task() for item in run.pending)
            run_tasks(connection.client, images, threads=connection.threads)
        note_engines(run.output_dir, "inference", engines)
        remove_unfinished(run.output_dir)  # of workers that were killed
        results.summarise()

    def _connection(self, run: SegmentationRun) -> AbstractContextManager[Connection]:
        if self.scheduler is not None:
            return connect(self.scheduler)
        return start_workers(1 if self.workers is None else self.workers, verbose=run.verbose)


class _Image:
    """What is to be done for an image."""

    def __init__(
        self,
        order: Order,
        item: Item,
        results: ResultFolder,
        pictures: GalleryPictures | None,
        bar: tqdm,
        engines: set[tuple[str, str]],
    ) -> None:
        self.order = order
        self.item = item
        self.results = results
        self.pictures = pictures
        self.bar = bar
        self.engines = engines  # takes those that were used
        self._tidying = ExitStack()
        self._workshop = ""  # of a large image
        self._tiles_left = 0
        self._has_failed = False

    def task(self) -> Task:
        """Give the first task, which is all of a small image."""
        return Task(segment_image, (self.order, self.item, self._wants_large()), self._take, self._fail)

    def _take(self, answer: Answer) -> Iterable[Task]:
        if answer.engine is not None:
            self.engines.add(answer.engine)
        if answer.view is not None:
            self._workshop = str(self._tidying.enter_context(temporary_folder(self.results.output_dir)))
            self._tiles_left = answer.tiles - len(answer.view.glass)
            return self._tiles(answer.view, answer.tiles)
        self._end()
        if answer.row is not None:
            self.results.take_over([answer.row])
        if answer.note is not None and self.results.done is not None:
            self.results.done.add(answer.note)
        if answer.views is not None and self.pictures is not None:
            self.pictures.take(self.item, *answer.views)
        return ()

    def _tiles(self, view: View, tiles: int) -> Iterator[Task]:
        def join() -> Task:
            of_image = (self.order, self.item, self._wants_large())
            return Task(join_tiles, (*of_image, view, tiles, self._workshop), self._take, self._fail)

        def take(answer: TileAnswer) -> Iterable[Task]:
            self._tiles_left -= 1
            if answer.engine is not None:
                self.engines.add(answer.engine)
            if answer.reason is not None:
                self._fail(answer.reason)
            elif not self._tiles_left and not self._has_failed:
                yield join()

        if not self._tiles_left:  # all glass
            yield join()
        for number in (each for each in range(tiles) if each not in view.glass):
            if self._has_failed:
                return
            self.bar.set_postfix_str(f"{self.item['id']}: tile {number + 1} of {tiles}")
            yield Task(segment_tile, (self.order, self.item, view, number, self._workshop), take, self._fail)

    def _wants_large(self) -> bool:
        return self.pictures is not None and self.pictures.wants_large(self.item)

    def _fail(self, reason: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            self.results.add_failure(self.item, reason)
            self._end()

    def _end(self) -> None:
        self._tidying.close()
        self.bar.update()
