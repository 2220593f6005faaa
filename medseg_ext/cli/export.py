"""`medseg export`: write a bundle with its network in other forms."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medseg_ext.bundle.export_target import FORMATS, export_target, refuse_export
from medseg_ext.cli.quick_imports import quick_imports
from medseg_ext.cli.workflow_command import add_trust_option


def add_command(commands: Any) -> None:
    """Add it to the subparsers of `medseg`."""
    parser = commands.add_parser(
        "export",
        help="write a bundle with its network in other forms: TorchScript and ONNX, or for collections of models",
        description="Write a complete copy of a bundle with its network as TorchScript and, where it can be, ONNX, "
        "each verified against PyTorch. MONAI Deploy takes models/model.ts; the README.md in it tells how to run "
        "each.",
    )
    parser.add_argument("bundle", metavar="NAME", help="name of a bundle below bundles/, or the folder of one")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="the bundle goes to DIR/NAME")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default=FORMATS[0],
        help="monai: the bundle itself; bioimageio: a zip for the BioImage Model Zoo, DIR/NAME.bioimageio.zip; "
        "huggingface: a folder with safetensors and a model card (default: monai)",
    )
    parser.add_argument("--force", action="store_true", help="replace an export that is there already")
    add_trust_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from medseg_ext.bundle.find import find_bundle

    bundle = find_bundle(options.bundle)
    target = export_target(bundle, options.output, options.format)
    refuse_export(bundle, target, options.format, force=options.force)
    with quick_imports():  # after all that needs no second
        from medseg_ext.bundle.export import export_bundle
        from medseg_ext.bundle.export_bioimageio import export_bioimageio
        from medseg_ext.bundle.export_huggingface import export_huggingface

    if options.format != "monai":
        export = {"bioimageio": export_bioimageio, "huggingface": export_huggingface}[options.format]
        print(export(bundle, options.output, force=options.force))
        return 0
    exported = export_bundle(bundle, options.output, force=options.force)
    for row in exported.verified:
        shape = " x ".join(map(str, row.shape))
        print(f"{row.form}: differs from eager PyTorch by at most {row.difference:.2g} for images of {shape}")
    for form, reason in exported.missing.items():
        print(f"{form}: left out. {reason}.")
    print(exported.folder)
    return 0
