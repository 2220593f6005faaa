"""Segment images with a bundle, as `medseg segment` does."""

from __future__ import annotations

import csv
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import fire.parser
from monai.bundle import ConfigParser, ConfigWorkflow

from medseg_ext.bundle.command_line import USER_ERRORS, OverrideError, cause_of, message_of, refuse_unknown_keys
from medseg_ext.bundle.find import CONFIG
from medseg_ext.data.datalist import list_images
from medseg_ext.report.gallery import GALLERY_FILE, write_gallery

OWN_KEYS = ("bundle_root", "dataset_dir", "output_dir")  # of the config, given in another way than by --set
UNREADABLE_SHOWN = 20  # in the terminal; summary.csv has all


class Segmented(NamedTuple):
    """What a segmentation gave: its folder, the rows of `summary.csv`, and the gallery, if there is one."""

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
        if self.unreadable:
            lines.append(f"{_count(len(self.unreadable), 'image')} could not be done:")
            lines += [
                f"  {row['image']}: {row['status'].removeprefix('error: ')}"
                for row in self.unreadable[:UNREADABLE_SHOWN]
            ]
            if len(self.unreadable) > UNREADABLE_SHOWN:
                lines.append(f"  and {len(self.unreadable) - UNREADABLE_SHOWN} more, see summary.csv")
        lines.append(f"files    {self.output_dir}")
        lines.append(f"table    {self.output_dir / 'summary.csv'}")
        return [*lines, f"gallery  {self.gallery}"] if self.gallery else lines


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
        DataError: no image, or none that can be read, no weights, or what else people can mend.
        OverrideError: the config has no such key.
        RuntimeError: anything else that ended the run; its message is the cause's.
    """
    paths = [str(Path(image).absolute()) for image in images]  # absolute: a config reads a name like $a as code
    list_images(paths)  # before the network is built, which takes seconds
    config = bundle / CONFIG
    parser = ConfigParser(ConfigParser.load_config_files(str(config)))
    refuse_unknown_keys([*OWN_KEYS, *overrides], parser, option="")
    output_dir = output_dir.absolute()
    (output_dir / GALLERY_FILE).unlink(missing_ok=True)  # of an earlier run: it would show other results
    with _quiet(not verbose):
        workflow = _run(
            str(config),
            None if verbose else False,
            {**overrides, "bundle_root": str(bundle), "dataset_dir": paths, "output_dir": str(output_dir)},
        )
    with (output_dir / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not gallery:
        return Segmented(output_dir, rows, None)
    dataset = workflow.parser.get_parsed_content("dataset")
    items = [*dataset.data, *dataset.large, *(item for item, _ in dataset.unreadable)]
    page = write_gallery(
        output_dir,
        rows=rows,
        images={item["id"]: item["image"] for item in items},
        title=workflow.parser.get("title", bundle.name),
        bundle=bundle.name,
        object_name=workflow.parser.get("object_name", "object"),
        page=dataset.page,
    )
    return Segmented(output_dir, rows, page)


def parse_overrides(words: Sequence[str]) -> dict[str, Any]:
    """Read KEY=VALUE, with values as MONAI's command line reads them.

    Raises:
        OverrideError: no KEY=VALUE, or a key that is given in another way.

    >>> parse_overrides(["patch_size=[512,512]", "decoder#min_area_px=30", "device=cpu"])
    {'patch_size': [512, 512], 'decoder#min_area_px': 30, 'device': 'cpu'}
    """
    overrides = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise OverrideError(f"--set {word}: expected KEY=VALUE, such as --set decoder#min_area_px=30")
        if key in OWN_KEYS:
            raise OverrideError(f"--set {key}: give images, --bundle and --output instead")
        overrides[key] = fire.parser.DefaultParseValue(value)
    return overrides


def _run(config: str, logging_file: bool | None, overrides: Mapping[str, Any]) -> ConfigWorkflow:
    try:
        workflow = ConfigWorkflow(config, workflow_type="infer", logging_file=logging_file, **overrides)
        workflow.initialize()
        workflow.run()
        workflow.finalize()
    except Exception as error:  # MONAI wraps an error once for every level of the config
        cause = cause_of(error)
        if isinstance(cause, USER_ERRORS):
            raise type(cause)(message_of(cause)) from error
        raise RuntimeError(message_of(cause) or type(cause).__name__) from error
    return workflow


@contextmanager
def _quiet(quiet: bool) -> Iterator[None]:
    """Keep logs and warnings out of the terminal."""
    if not quiet:
        yield
        return
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
