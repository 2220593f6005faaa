"""`medseg prepare`: bring raw images and masks into a data set folder."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medseg_ext.cli.interruption import Interruption
from medseg_ext.datasets.layouts import LAYOUTS
from medseg_ext.errors import DataError


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "prepare",
        help="bring raw images and masks into a data set folder",
        description="Bring raw images and labels into a data set folder, which trainings and evaluations take.\nIt ends"
        " with a table of what was taken, what was left out, and what may be meant otherwise.",
        epilog="\n".join(["layouts:", *(f"  {name}: {each.lies}" for name, each in LAYOUTS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_options(parser, "folder or ZIP in one of the layouts", "a further one; becomes the section testing")
    parser.add_argument("--layout", choices=LAYOUTS, help="which layout the source has (default: found by itself)")
    _add_solution(parser)
    _add_own(parser)
    parser.add_argument("--preview", action="store_true", help="write TARGET/preview.html: images with their labels")
    parser.set_defaults(run=_run, is_official=False, advice=lambda options, words: _advice(["medseg", *words]))


def main(name: str) -> int:
    """Run it for one layout as a script of its own, `data_scripts/prepare_<name>.py`; returns the exit status."""
    layout = LAYOUTS[name]
    parser = argparse.ArgumentParser(description=f"Prepare {layout.what} for training and evaluation.")
    _add_options(parser, layout.source, layout.test)
    if "test_solution" in layout.options:
        _add_solution(parser)
    options = parser.parse_args()
    options.layout, options.is_official, options.preview = name, True, False

    def run() -> int:
        try:
            return _run(options)
        except (DataError, OSError, MemoryError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    interruption = Interruption()
    interruption.advice = lambda: _advice(sys.argv)
    return interruption.guard(run)


def _advice(words: Sequence[str]) -> str:
    return f"; to go on: {shlex.join(words)}"


def _add_options(parser: argparse.ArgumentParser, source_help: str, test_help: str) -> None:
    parser.add_argument("source", type=Path, help=source_help)
    parser.add_argument("target", type=Path, help="data set folder to write; an interrupted run goes on there")
    parser.add_argument("--test", type=Path, metavar="SOURCE", help=test_help)
    parser.add_argument(
        "--groups",
        type=Path,
        metavar="CSV",
        help="columns image_id (name of the image file, with or without its ending), group: a group is never split",
    )
    parser.add_argument("--seed", type=int, default=0, help="another number is another split (default: 0)")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs=3,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAINING", "VALIDATION", "TESTING"),
        help="shares that sum to 1 (default: 0.8 0.1 0.1); the official test set, if given, is all of testing",
    )
    parser.add_argument(
        "--splits-from", type=Path, metavar="DATASET_JSON", help="take over the split of another prepared data set"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="number of processes (default: all cores)")


def _add_solution(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--test-solution", type=Path, metavar="CSV", help="stage1_solution.csv, the masks of stage1_test"
    )


def _add_own(parser: argparse.ArgumentParser) -> None:
    own = parser.add_argument_group("your own data")
    own.add_argument("--name", help="what reports are to call the data set (default: as the source is called)")
    own.add_argument("--licence", "--license", help="of images and labels, such as CC-BY-4.0 (default: not stated)")
    own.add_argument("--origin", help="where they are from, such as an address (default: not stated)")
    own.add_argument(
        "--objects",
        choices=("nucleus", "cell"),
        help="nucleus: objects of one class; cell: with cytoplasm and nucleus (default: cell where both are labelled)",
    )
    own.add_argument(
        "--binary",
        choices=("components",),
        help="take masks that do not number objects, each piece for an object; those that touch become one",
    )
    own.add_argument(
        "--channel",
        metavar="CHANNELS",
        help="which channels of the images are taken, by number, counted from 0, or name: one as grey, such as DAPI, "
        "or several as they are, such as DAPI,GFP or [0,2] (default: grey or RGB)",
    )
    own.add_argument("--leave-out", nargs="+", metavar="CLASS", help="classes whose objects are to be left out")


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.datasets.layouts import OWN_OPTIONS, prepare, recognise_layout
    from medseg_ext.datasets.preparation_table import summary
    from medseg_ext.images.channels import read_channels

    layout = options.layout or recognise_layout(options.source)
    for name in ("test_solution", *OWN_OPTIONS):
        if getattr(options, name, None) and name not in LAYOUTS[layout].options:
            having = ", ".join(each for each, known in LAYOUTS.items() if name in known.options)
            option = f"--{name.replace('_', '-')}"
            raise DataError(f"{option} is for the layout {having}; {options.source} has that of {layout}")
    names = ["test", "groups", "seed", "fractions", "splits_from", "workers"]
    names += [name for name in LAYOUTS[layout].options if name not in OWN_OPTIONS]
    own = {name: getattr(options, name, None) for name in ("name", "licence", "origin", *OWN_OPTIONS)}
    own["channel"] = read_channels(options.channel) if getattr(options, "channel", None) is not None else None
    dataset = prepare(
        layout,
        options.source,
        options.target,
        own=own,
        is_official=options.is_official,
        **{name: getattr(options, name) for name in names},
    )
    print(f"{summary(dataset)}\nlayout: {layout}; written to {options.target}")
    if options.preview:
        from medseg_ext.pages.preparation_preview import write_preview

        print(f"look at {write_preview(options.target)}")
    return 0
