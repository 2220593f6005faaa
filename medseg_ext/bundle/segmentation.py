"""Segment images with a bundle, as `medseg segment` does."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from monai.bundle import ConfigWorkflow
from tqdm import tqdm

from medseg_ext.addresses import PathLike, address_of, inside, place
from medseg_ext.bundle.given import given_as
from medseg_ext.bundle.loaded import LoadedBundle
from medseg_ext.bundle.result_settings import result_settings
from medseg_ext.bundle.workflow import open_workflow, quiet, run_workflow, telling_the_cause
from medseg_ext.datasets.image_headers import reason_not_to_read
from medseg_ext.datasets.image_list import list_images
from medseg_ext.folder_lock import FolderLock
from medseg_ext.handlers.object_writer import ObjectWriter
from medseg_ext.images.channels import Choice
from medseg_ext.images.pixel_size import given_pixel_size_um, read_pixel_size_um
from medseg_ext.images.result_names import SUMMARY_FILE
from medseg_ext.objects.done_images import DoneImages, Item, Row
from medseg_ext.objects.earlier_results import PROVENANCE_FILE, refuse_results_of_others
from medseg_ext.objects.formats import DEFAULT_FORMATS, ResultFormats
from medseg_ext.objects.output_folder import refuse_output_folder
from medseg_ext.objects.remote_results import RemoteResults, results_at
from medseg_ext.objects.result_folder import BETWEEN_REMARKS, ResultFolder
from medseg_ext.objects.training_images import UNLIKE
from medseg_ext.pages.gallery import write_gallery
from medseg_ext.pages.gallery_pictures import GalleryPictures, read_pictures
from medseg_ext.runs.provenance import note_engines
from medseg_ext.tables import read_csv_rows

FILES_SHOWN = 20  # in the terminal, of each kind of remark
EMPTY_SHOWN = 3  # in the terminal, of images in which nothing was found


class Segmented(NamedTuple):
    """What a segmentation gave.

    Attributes:
        output_dir: the folder of the files, or its address.
        rows: those of `summary.csv`.
        gallery: the page, or its address, if there is one.
    """

    output_dir: Path | str
    rows: list[dict[str, str]]
    gallery: Path | str | None

    @property
    def unreadable(self) -> list[dict[str, str]]:
        """The rows of images that could not be done."""
        return [row for row in self.rows if row["status"] != "ok"]

    def report(self) -> list[str]:
        """Say in lines for people what was done."""
        done = [row for row in self.rows if row["status"] == "ok"]
        lines = [f"{_count(sum(int(row['objects']) for row in done), 'object')} in {_count(len(done), 'image')}"]
        if empty := [row["image"] for row in done if row["objects"] == "0"]:
            more = f" and {len(empty) - EMPTY_SHOWN} more, see summary.csv" if len(empty) > EMPTY_SHOWN else ""
            lines.append(f"nothing found in {_count(len(empty), 'image')}: {', '.join(empty[:EMPTY_SHOWN])}{more}")
        lines += self._remarks()
        if self.unreadable:
            lines.append(f"{_count(len(self.unreadable), 'image')} could not be done:")
            lines += [
                f"  {row['image']}: {row['status'].removeprefix('error: ')}" for row in self.unreadable[:FILES_SHOWN]
            ]
            if len(self.unreadable) > FILES_SHOWN:
                lines.append(f"  and {len(self.unreadable) - FILES_SHOWN} more, see summary.csv")
        lines.append(f"files    {self.output_dir}")
        lines.append(f"table    {_in(self.output_dir, SUMMARY_FILE)}")
        return [*lines, f"gallery  {self.gallery}"] if self.gallery else lines

    def _remarks(self) -> list[str]:
        """Say each remark once, with the images that it is about; in what images are unlike, if they share it."""
        told = [(row["image"], filter(None, row["remarks"].split(BETWEEN_REMARKS))) for row in self.rows]
        remarks = [(remark, image) for image, of_image in told for remark in of_image]
        several = len({remark for remark, _ in remarks if remark.startswith(UNLIKE)}) > 1
        images: dict[str, list[str]] = defaultdict(list)
        for remark, image in remarks:
            in_short = several and remark.startswith(UNLIKE)
            images[f"{UNLIKE}, see summary.csv, and check the result" if in_short else remark].append(image)
        lines = []
        for remark, names in [*images.items()][:FILES_SHOWN]:
            more = f" and {len(names) - FILES_SHOWN} more" if len(names) > FILES_SHOWN else ""
            lines.append(f"{remark}: {', '.join(names[:FILES_SHOWN])}{more}")
        if len(images) > FILES_SHOWN:
            lines.append(f"and {_count(len(images) - FILES_SHOWN, 'more remark')}, see summary.csv")
        return lines


@dataclass(frozen=True)
class SegmentationRun:
    """What is to be done by whoever carries a run out: the files of its images, and `summary.csv`.

    Attributes:
        bundle: the bundle's folder.
        output_dir: folder of the files to write.
        overrides: values of the config's keys, without images and folders.
        settings: what decides the results, see `result_settings`.
        items: all images, as of `list_images`.
        rows: those of `summary.csv` of images that an earlier run has done, by id.
        done: takes notes of the images that are done.
        remote: `output_dir` at an address, if it is there that the files are to go.
        pictures: takes the views of the images that are done, for the gallery, if there is to be one.
        verbose: leave the log of libraries, and warnings, in the terminal.
    """

    bundle: Path
    output_dir: Path
    overrides: Mapping[str, Any]
    settings: Mapping[str, Any]
    items: Sequence[Item]
    rows: Mapping[str, Row]
    done: DoneImages
    pictures: GalleryPictures | None
    verbose: bool
    remote: RemoteResults | None = None

    @property
    def pending(self) -> list[Item]:
        """The images that are to be done."""
        return [item for item in self.items if item["id"] not in self.rows]

    def reason_not_to_read(self, item: Item) -> str | None:
        """Say why an image cannot be read, by its header; None where it tells of nothing."""
        page, channel = self.overrides.get("page", 0), self.overrides.get("channel")
        return reason_not_to_read(item, page=page, channel=channel)

    def open_results(self) -> ResultFolder:
        """Open the folder of the results, with the rows of an earlier run, for images that are done elsewhere."""
        overrides = {**self.overrides, "output_dir": self.output_dir, "dataset": ListedImages(self.items)}
        with quiet(log=not self.verbose, warnings_too=not self.verbose), telling_the_cause():
            told = open_workflow(self.bundle, "inference", overrides).parser.get_parsed_content
            told("settings")
            results: ResultFolder = told("result_folder")
        results.done, results.remote = self.done, self.remote
        results.take_over(self.rows.values())
        results.start()
        return results


@dataclass(frozen=True)
class ListedImages:
    """Images of which nothing is known but where they are; see `medseg_ext.objects.result_folder.InputImages`."""

    data: Sequence[Item]
    large: Sequence[Item] = ()
    unreadable: Sequence[tuple[Item, str]] = ()
    page: int = 0
    channel: Choice = None
    remarks: Mapping[str, Sequence[str]] = field(default_factory=dict)


def run_in_turn(run: SegmentationRun) -> None:
    """Carry a run out in this process, one image after the other, of which each is fetched when it is its turn."""
    results = run.open_results()
    # disable=None: no bar where the output is no terminal
    bar = tqdm(total=len(run.items), initial=len(run.rows), desc="segmenting", unit="image", disable=None)
    with bar, quiet(log=not run.verbose, warnings_too=not run.verbose), telling_the_cause():
        loaded = LoadedBundle(run.bundle, {**run.overrides, "output_dir": run.output_dir})
        loaded.results.done, loaded.results.remote = run.done, run.remote
        loaded.results.viewer = run.pictures.add if run.pictures else None
        loaded.large_images.shows_progress = True
        for item in run.pending:
            results.take_over([loaded.segment(item)])
            bar.update()
    note_engines(run.output_dir, "inference", [loaded.network_inferer.engine_used])
    results.summarise()


def run_serially(run: SegmentationRun) -> None:
    """Carry a run out in this process, as MONAI's command line does; images at addresses as `run_in_turn` does."""
    if any(address_of(item["image"]) is not None for item in run.pending):
        run_in_turn(run)
        return
    if run.rows:  # so that it is no error if nothing that is left can be read
        reasons = [(item, run.reason_not_to_read(item)) for item in run.pending]
        if all(reason is not None for _, reason in reasons):
            results = run.open_results()
            for item, reason in reasons:
                results.add_failure(item, str(reason))
            results.summarise()
            return

    # disable=None: no bar where the output is no terminal
    bar = tqdm(total=len(run.items), initial=len(run.rows), desc="segmenting", unit="image", disable=None)

    writers: list[ObjectWriter] = []

    def prepare(workflow: ConfigWorkflow) -> None:
        writers.append(workflow.parser.get_parsed_content("object_writer"))
        results = workflow.parser.get_parsed_content("result_folder")
        results.done, results.remote = run.done, run.remote
        results.when_done = bar.update
        results.viewer = run.pictures.add if run.pictures else None
        results.take_over(run.rows.values())

    def finish_writing() -> None:
        for writer in writers:
            writer.close()

    with bar, ExitStack() as stack:
        stack.callback(finish_writing)  # before the file of notes is closed
        run_workflow(
            run.bundle,
            "inference",
            {
                **run.overrides,
                "output_dir": run.output_dir,
                # A tuple is an object to MONAI's parser, which would take 100,000 dicts for parts of the config.
                "dataset#data": tuple(run.pending),
                "rank": 1,  # the first one has a progress bar, of some of the images, and the lock, which is taken
            },
            with_log=run.verbose,
            with_warnings=run.verbose,
            before=prepare,
        )


def segment(
    images: Sequence[PathLike],
    bundle: Path,
    output_dir: PathLike,
    *,
    overrides: Mapping[str, Any],
    gallery: bool = True,
    verbose: bool = False,
    resume: bool = False,
    items: Sequence[Item] | None = None,
    carry_out: Callable[[SegmentationRun], None] = run_serially,
) -> Segmented:
    """Run the `inference.json` of a bundle over images, through MONAI's `ConfigWorkflow`.

    Args:
        images: files and folders, or their addresses.
        bundle: the bundle's folder.
        output_dir: folder of the files to write, or its address; the `gallery.html` of an earlier run is removed.
        overrides: values of the config's keys.
        gallery: write `gallery.html`, too.
        verbose: leave the log of MONAI and Ignite, and warnings, in the terminal.
        resume: leave out the images that an earlier run has done with the same settings.
        items: those of `images`, as of `list_images`, where they are listed already.
        carry_out: does the images, here or elsewhere; the fields of a dataclass are kept in the record of the run.

    Returns:
        What was written.

    Raises:
        DataError: no image, or none that can be read, no weights, images in the folder to write to, another run that
            writes there, results of other images or another bundle that are not to be overwritten, results of other
            settings that are to be gone on with, an address that cannot be read or written to, or what else people can
            mend.
        OverrideError: the config has no such key, or it does not take its value.
        RuntimeError: anything else that ended the run; its message is the cause's.
    """
    if items is None:  # before the network is built, which takes seconds
        items = list_images(images, recursive=bool(overrides.get("recursive")))
    target = place(output_dir)
    refuse_output_folder(target, images, items, recursive=bool(overrides.get("recursive")))
    with ExitStack() as stack:
        if isinstance(target, Path):
            remote, folder = None, target
        else:
            remote = stack.enter_context(results_at(target))
            folder = remote.folder
        pictures = GalleryPictures(len(items)) if gallery else None
        stack.enter_context(FolderLock(folder, what="a segmentation"))  # with the gallery, no part of the workflow
        with quiet(log=not verbose, warnings_too=not verbose), telling_the_cause():
            workflow = open_workflow(bundle, "inference", {**overrides, "output_dir": folder})
            told = workflow.parser.get_parsed_content
            told("settings")
            settings = result_settings(workflow, overrides)
            wanted = told("formats") if "formats" in workflow.parser else DEFAULT_FORMATS  # of an older export
            formats = ResultFormats(told("output_format"), tuple(wanted))
            done = DoneImages(folder, settings, formats=formats)
            if not told("overwrite"):
                refuse_results_of_others(folder, items, bundle=bundle.resolve().name)
        rows = done.resume(items) if resume else {}
        if resume:
            print(f"{len(rows)} of {_count(len(items), 'image')} were done before", file=sys.stderr)
        with given_as(overrides), telling_the_cause():
            workers = asdict(carry_out) if is_dataclass(carry_out) else None
            told("provenance").write(goes_on=bool(rows), images=images, workers=workers, output_dir=target)
        if remote is not None:
            remote.put([folder / PROVENANCE_FILE])  # which also tells at once whether anything can be written
            remote.fetch_tables(formats.paths(folder, image_id) for image_id in rows)
            done.when_noted = remote.keep_notes
        run = SegmentationRun(bundle, folder, overrides, settings, items, rows, done, pictures, verbose, remote)
        try:
            carry_out(run)
        finally:
            done.close()
            if remote is not None:
                remote.finish()
        rows_of_all = list(read_csv_rows(folder / SUMMARY_FILE))
        page = None if pictures is None else _write_gallery(run, rows_of_all, formats, workflow)
        if remote is not None and page is not None:
            remote.put([page])
        return Segmented(target, rows_of_all, page and _in(target, page.name))


def _write_gallery(
    run: SegmentationRun, rows: Sequence[dict[str, str]], formats: ResultFormats, workflow: ConfigWorkflow
) -> Path | None:
    """Write the page; the pictures of images that an earlier run has done are read again."""
    if run.pictures is None:
        raise ValueError("the run takes no pictures")
    told = workflow.parser.get_parsed_content
    given = given_pixel_size_um(told("pixel_size_um") if "pixel_size_um" in workflow.parser else None)
    done_before = [item for item in run.items if item["id"] in run.rows]
    # disable=None: no bar where the output is no terminal
    for item in tqdm(done_before, desc="pictures of images done before", leave=False, disable=None):
        asked = {"formats": formats, "page": told("page"), "channel": told("channel")}
        size_um = given or read_pixel_size_um(item["image"], page=told("page"))
        with run.remote.at_hand(formats.paths(run.output_dir, item["id"])) if run.remote else nullcontext():
            run.pictures.add(item, *read_pictures(run.output_dir, item, **asked, pixel_size_um=size_um))
    try:
        return write_gallery(
            run.output_dir,
            rows=rows,
            pictures=run.pictures,
            title=told("title"),
            bundle=run.bundle.name,
            object_name=told("object_name"),
        )
    except OSError as error:  # such as a full disk: the images are done, or reported
        print(f"warning: no gallery could be written to {run.output_dir} ({error.strerror})", file=sys.stderr)
        return None


def _in(folder: Path | str, name: str) -> Path | str:
    return folder / name if isinstance(folder, Path) else inside(folder, name)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
