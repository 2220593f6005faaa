"""The command `medseg`."""

from __future__ import annotations

import argparse
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from medseg_ext.bundle.export import export_bundle
from medseg_ext.bundle.find import find_bundle
from medseg_ext.bundle.render import render_all, stale_files, stray_files
from medseg_ext.bundle.ship import ship_weights
from medseg_ext.report.card import write_card
from medseg_ext.report.compare import compare_run_folders
from medseg_ext.report.compare_page import write_comparison
from medseg_ext.segment import parse_overrides, segment


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="medseg", description=__doc__)
    commands = parser.add_subparsers(required=True)

    render = commands.add_parser("render", help="render the fragments of bundles/_base into the bundles")
    render.add_argument("--bundles", type=Path, default=Path("bundles"), help="folder of the bundles")
    render.add_argument("--check", action="store_true", help="change nothing; fail if a committed file is not fresh")
    render.set_defaults(run=lambda options: _render(options.bundles, check=options.check))

    ship = commands.add_parser(
        "ship", help="put a training's best weights, in half precision, and its curve into a bundle"
    )
    ship.add_argument(
        "weights", type=Path, help="model.pt of a training's output_dir; iou_curve.csv and .png beside it go along"
    )
    ship.add_argument("bundle", type=Path, help="folder of the bundle")
    ship.set_defaults(run=lambda options: _ship(options.weights, options.bundle))

    export = commands.add_parser(
        "export", help="write a bundle to a folder of its own, with TorchScript and ONNX, verified against PyTorch"
    )
    export.add_argument("bundle", metavar="NAME", help="name of a bundle below bundles/, or the folder of one")
    export.add_argument("--to", type=Path, required=True, metavar="DIR", help="the bundle goes to DIR/NAME")
    export.add_argument("--force", action="store_true", help="replace an export that is there already")
    export.set_defaults(run=lambda options: _export(options.bundle, options.to, force=options.force))

    card = commands.add_parser(
        "card", help="bring the figures and pictures of a bundle's model card up to date with an evaluation"
    )
    card.add_argument("bundle", type=Path, help="folder of the bundle; its docs/README.md has the marker lines")
    card.add_argument("evaluation", type=Path, help="output_dir of an evaluation of its weights on the test images")
    card.set_defaults(run=lambda options: _card(options.bundle, options.evaluation))

    compare = commands.add_parser("compare", help="set evaluations beside each other: tables, curves, pictures")
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN_DIR", help="output_dir of an evaluation")
    compare.add_argument("--output", type=Path, default=Path("comparison"), help="folder of the files to write")
    compare.add_argument("--names", nargs="+", help="name of each run; by default that of its model")
    compare.set_defaults(run=lambda options: _compare(options.runs, options.output, options.names))

    segment_images = commands.add_parser(
        "segment",
        help="find the objects in images with a bundle",
        epilog="Any key of the bundle's inference.json may follow, as on MONAI's command line: --device cpu, --page 1, "
        "--output_format nifti, --working_size 1024, --batch_size 8; --tta True averages over mirror images, in four "
        "times the time (not for mask_rcnn).",
        allow_abbrev=False,
    )
    segment_images.add_argument("images", nargs="+", metavar="IMAGES", help="images, and folders of images")
    segment_images.add_argument("--bundle", help="a bundle's name, such as dsb2018_unet, or its folder")
    segment_images.add_argument(
        "--output", type=Path, default=Path("objects"), help="folder of the files to write (default: objects)"
    )
    segment_images.add_argument("--open", action="store_true", help="show the gallery in the browser")
    segment_images.add_argument(
        "--gallery", action=argparse.BooleanOptionalAction, default=True, help="write gallery.html to look through"
    )
    segment_images.add_argument("--verbose", action="store_true", help="show the log of MONAI and Ignite, and warnings")
    segment_images.set_defaults(run=_segment)

    options, overrides = parser.parse_known_args(arguments)
    if overrides and options.run is not _segment:
        parser.error(f"unrecognized arguments: {' '.join(overrides)}")
    options.overrides = overrides
    try:
        return options.run(options)
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _render(bundles: Path, *, check: bool) -> int:
    if not check:
        changed = render_all(bundles)
        print(f"{len(changed)} files changed" + "".join(f"\n  {path}" for path in changed))
        return 0
    faults = [f"{path}: is not what the fragments give; run `medseg render`" for path in stale_files(bundles)]
    faults += [f"{path}: {fault}" for path, fault in stray_files(bundles).items()]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def _ship(weights: Path, bundle: Path) -> int:
    shipped = ship_weights(weights, bundle)
    for path in shipped.written:
        print(path)
    for path in shipped.removed:
        print(f"{path}: removed, as it is that of other weights and none lies beside {weights}; adapt docs/README.md")
    return 0


def _export(bundle: str, folder: Path, *, force: bool) -> int:
    exported = export_bundle(find_bundle(bundle), folder, force=force)
    for row in exported.verified:
        shape = " x ".join(map(str, row.shape))
        print(f"{row.form}: differs from eager PyTorch by at most {row.difference:.2g} for images of {shape}")
    for form, reason in exported.missing.items():
        print(f"{form}: left out. {reason}.")
    print(exported.folder)
    return 0


def _card(bundle: Path, evaluation: Path) -> int:
    print("\n".join(write_card(bundle, evaluation).report()))
    return 0


def _compare(runs: Sequence[Path], output: Path, names: Sequence[str] | None) -> int:
    print(write_comparison(compare_run_folders(runs, names), output))
    return 0


def _segment(options: argparse.Namespace) -> int:
    if options.open and not options.gallery:
        raise ValueError("--open shows the gallery: leave out --no-gallery")
    bundle = find_bundle(options.bundle)
    # argparse takes an unknown option that holds a space, such as --patch_size="[512, 512]", for an image.
    images = [word for word in options.images if not (word.startswith("--") and "=" in word)]
    overrides = parse_overrides([*options.overrides, *(word for word in options.images if word not in images)])
    if not images:
        raise ValueError("no image is named: give images and folders first, then options")
    print(f"segmenting with {bundle}", file=sys.stderr)
    try:
        done = segment(
            images,
            bundle,
            options.output,
            overrides=overrides,
            gallery=options.gallery,
            verbose=options.verbose,
        )
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130  # as shells say it
    print("\n".join(done.report()))
    if options.open and done.gallery and not webbrowser.open(done.gallery.as_uri()):
        print(f"no browser could be opened; open {done.gallery} yourself", file=sys.stderr)
    return 1 if done.unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
