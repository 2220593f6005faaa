"""`medseg segment`: find the objects in images."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medseg_ext.cli.quick_imports import quick_imports
from medseg_ext.cli.workflow_command import add_workflow_command, find_named_bundle, plain_settings, read_overrides


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = add_workflow_command(
        commands,
        "segment",
        "inference",
        "IMAGES... --bundle NAME [--recursive] [--output FOLDER] [--resume | --overwrite]"
        " [--workers N | --scheduler ADDRESS] [--open] [--no-gallery] [--verbose]",
        help="find the objects in images with a bundle",
        description="Find the objects in images, as `python -m monai.bundle run inference` does, and write a gallery.",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGES", help="images, folders of images, and addresses of such")
    parser.add_argument("--recursive", action="store_true", help="look for images in the folders inside folders, too")
    parser.add_argument(
        "--output", default="objects", metavar="FOLDER", help="folder of the files to write (default: objects)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with an earlier run: leave out the images that it has done"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="remove the results of other images or of another bundle in --output"
    )
    places = parser.add_mutually_exclusive_group()
    places.add_argument("--workers", type=int, metavar="N", help="work on N images at once, each in a process (Dask)")
    places.add_argument("--scheduler", metavar="ADDRESS", help="work on a Dask cluster, such as tcp://host:8786")
    parser.add_argument("--open", action="store_true", help="show the gallery in the browser")
    parser.add_argument(
        "--gallery", action=argparse.BooleanOptionalAction, default=True, help="write gallery.html to look through"
    )
    parser.add_argument("--verbose", action="store_true", help="show the log of MONAI and Ignite, and warnings")
    parser.set_defaults(run=_run, advice=how_to_go_on)


def _run(options: argparse.Namespace) -> int:
    import webbrowser

    from medseg_ext.addresses import place
    from medseg_ext.bundle.trained_settings import plan_for_weights
    from medseg_ext.datasets.image_list import list_images

    if options.open and not options.gallery:
        raise ValueError("--open shows the gallery: leave out --no-gallery")
    if options.open and not isinstance(place(options.output), Path):
        raise ValueError("--open shows a gallery on this machine: leave it out, or give a local folder as --output")
    bundle = find_named_bundle(options)
    # argparse takes an unknown option that holds a space, such as --patch_size="[512, 512]", for an image.
    images = [word for word in options.images if not (word.startswith("--") and "=" in word)]
    overrides = read_overrides(
        [*options.keys, *(word for word in options.images if word not in images)],
        bundle,
        "inference",
        options=options.own_options(),
        remedy="give images, --bundle and --output instead",
        hint="; images come first",
    )
    if not images:
        raise ValueError("no image is named: give images and folders first, then options")
    if options.resume and options.overwrite:
        raise ValueError("--resume goes on with what --overwrite removes: give one of them")
    overrides |= {key: True for key in ("recursive", "overwrite") if getattr(options, key)}
    items = list_images(images, recursive=bool(overrides.get("recursive")))
    _refuse_early(options, images, items, bundle, overrides)
    plan = plan_for_weights(bundle, overrides, "inference")
    with quick_imports():  # after all that needs no second
        from medseg_ext.bundle.library_log import shorten_log
        from medseg_ext.bundle.segmentation import run_serially, segment

    shorten_log()
    print("\n".join([f"segmenting with {bundle}", *plan.lines]), file=sys.stderr)
    done = segment(
        images,
        bundle,
        options.output,
        overrides={**plan.settings, **overrides},
        gallery=options.gallery,
        verbose=options.verbose,
        resume=options.resume,
        items=items,
        carry_out=workers_for(options.workers, options.scheduler) or run_serially,
    )
    print("\n".join(done.report()))
    if options.open and isinstance(done.gallery, Path) and not webbrowser.open(done.gallery.as_uri()):
        print(f"no browser could be opened; open {done.gallery} yourself", file=sys.stderr)
    return 1 if done.unreadable else 0


def _refuse_early(
    options: argparse.Namespace,
    images: Sequence[str],
    items: Sequence[Mapping[str, str]],
    bundle: Path,
    overrides: Mapping[str, Any],
) -> None:
    """Refuse what the workflow would refuse, too, after it has loaded the frameworks.

    Args:
        options: of the command line.
        images: those that are named.
        items: those that are found.
        bundle: the bundle's folder.
        overrides: values of the config's keys.

    Raises: DataError: results must not go to the folder; no image can be read, or none tells the size of its pixels.
    """
    from medseg_ext.addresses import address_of, place
    from medseg_ext.datasets.image_headers import refuse_unreadable_images
    from medseg_ext.images.pixel_size import refuse_unknown_sizes
    from medseg_ext.objects.earlier_results import refuse_results_of_others
    from medseg_ext.objects.output_folder import refuse_output_folder

    target, settings = place(options.output), plain_settings(bundle, "inference", overrides)
    refuse_output_folder(target, images, items, recursive=bool(settings.get("recursive")))
    if isinstance(target, Path) and not settings.get("overwrite"):
        refuse_results_of_others(target, items, bundle=bundle.resolve().name)
    files, page = [item["image"] for item in items], settings.get("page", 0)
    if options.resume or any(address_of(file) is not None for file in files):  # done before, or to be fetched
        return
    refuse_unreadable_images(items, page=page, channel=settings.get("channel"))
    if settings.get("object_diameter_um") is not None and settings.get("pixel_size_um") is None:
        refuse_unknown_sizes(files, page=page)


def workers_for(number: int | None, scheduler: str | None) -> Any:
    """Give what has workers do the images; None where none are asked for.

    Raises: ValueError: Dask is not installed.
    """
    if number is None and scheduler is None:
        return None
    if not importlib.util.find_spec("distributed"):
        raise ValueError("--workers and --scheduler need Dask: pip install 'medseg-ext[dask]'")
    from medseg_ext.cluster.segmentation import ClusterSegmentation

    return ClusterSegmentation(workers=number, scheduler=scheduler)


def how_to_go_on(options: argparse.Namespace, words: Sequence[str]) -> str:
    """Say how to go on with a segmentation."""
    from medseg_ext.addresses import words_without_secrets

    resumed = [*words_without_secrets(words), *([] if options.resume else ["--resume"])]
    return f"; to go on: {shlex.join(['medseg', *resumed])}"
