"""Segment images with a bundle, as `medseg segment` does."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monai.bundle import ConfigWorkflow

from medseg_ext.bundle.workflow import run_workflow
from medseg_ext.datasets.image_list import list_images
from medseg_ext.folder_lock import FolderLock
from medseg_ext.objects.result_folder import BETWEEN_REMARKS
from medseg_ext.pages.gallery import write_gallery
from medseg_ext.pages.gallery_pictures import GalleryPictures

FILES_SHOWN = 20  # in the terminal, of each kind of remark


class Segmented(NamedTuple):
    """What a segmentation gave.

    Attributes:
        output_dir: the folder of the files.
        rows: those of `summary.csv`.
        gallery: the page, if there is one.
    """

    output_dir: Path
    rows: list[dict[str, str]]
    gallery: Path | None

    @property
    def unreadable(self) -> list[dict[str, str]]:
        """The rows of images that could not be done."""
        return [row for row in self.rows if row["status"] != "ok"]

    def report(self) -> list[str]:
        """Say in lines for people what was done."""
        done = [row for row in self.rows if row["status"] == "ok"]
        lines = [f"{_count(sum(int(row['objects']) for row in done), 'object')} in {_count(len(done), 'image')}"]
        if empty := sum(row["objects"] == "0" for row in done):
            lines.append(f"nothing found in {_count(empty, 'image')}")
        lines += self._remarks()
        if self.unreadable:
            lines.append(f"{_count(len(self.unreadable), 'image')} could not be done:")
            lines += [
                f"  {row['image']}: {row['status'].removeprefix('error: ')}" for row in self.unreadable[:FILES_SHOWN]
            ]
            if len(self.unreadable) > FILES_SHOWN:
                lines.append(f"  and {len(self.unreadable) - FILES_SHOWN} more, see summary.csv")
        lines.append(f"files    {self.output_dir}")
        lines.append(f"table    {self.output_dir / 'summary.csv'}")
        return [*lines, f"gallery  {self.gallery}"] if self.gallery else lines

    def _remarks(self) -> list[str]:
        """Say each remark once, with the images that it is about."""
        images: dict[str, list[str]] = defaultdict(list)
        for row in self.rows:
            for remark in filter(None, row["remarks"].split(BETWEEN_REMARKS)):
                images[remark].append(row["image"])
        lines = []
        for remark, names in [*images.items()][:FILES_SHOWN]:
            more = f" and {len(names) - FILES_SHOWN} more" if len(names) > FILES_SHOWN else ""
            lines.append(f"{remark}: {', '.join(names[:FILES_SHOWN])}{more}")
        if len(images) > FILES_SHOWN:
            lines.append(f"and {_count(len(images) - FILES_SHOWN, 'more remark')}, see summary.csv")
        return lines


def segment(
    images: Sequence[Path | str],
    bundle: Path,
    output_dir: Path,
    *,
    overrides: Mapping[str, Any],
    gallery: bool = True,
    verbose: bool = False,
) -> Segmented:
    """Run the `inference.json` of a bundle over images, through MONAI's `ConfigWorkflow`.

    Args:
        images: files and folders.
        bundle: the bundle's folder.
        output_dir: folder of the files to write; the `gallery.html` of an earlier run is removed.
        overrides: values of the config's keys.
        gallery: write `gallery.html`, too.
        verbose: leave the log of MONAI and Ignite, and warnings, in the terminal.

    Returns:
        What was written.

    Raises:
        DataError: no image, or none that can be read, no weights, another run that writes to the folder, or what else
            people can mend.
        OverrideError: the config has no such key, or it does not take its value.
        RuntimeError: anything else that ended the run; its message is the cause's.
    """
    n_images = len(list_images(images))  # before the network is built, which takes seconds
    output_dir = output_dir.absolute()
    pictures = GalleryPictures(n_images) if gallery else None

    def watch(workflow: ConfigWorkflow) -> None:
        if pictures is not None:
            workflow.parser.get_parsed_content("result_folder").viewer = pictures.add

    with FolderLock(output_dir, what="a segmentation"):  # with the gallery, which is no part of the workflow
        workflow = run_workflow(
            bundle,
            "inference",
            {**overrides, "dataset_dir": list(images), "output_dir": output_dir},
            with_log=verbose,
            with_warnings=verbose,
            before=watch,
        )
        with (output_dir / "summary.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if pictures is None:
            return Segmented(output_dir, rows, None)
        page = write_gallery(
            output_dir,
            rows=rows,
            pictures=pictures,
            title=workflow.parser.get_parsed_content("title"),
            bundle=bundle.name,
            object_name=workflow.parser.get_parsed_content("object_name"),
        )
    return Segmented(output_dir, rows, page)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
