"""See before anything is loaded whether an export can be written to where it is to go."""

from __future__ import annotations

import zipfile
from pathlib import Path

from medseg_ext.errors import DataError

MONAI, BIOIMAGEIO, HUGGINGFACE = FORMATS = ("monai", "bioimageio", "huggingface")
HUGGINGFACE_CONFIG, HUGGINGFACE_WEIGHTS = "config.json", "model.safetensors"  # as Hugging Face names them


def export_target(bundle: Path, folder: Path, form: str) -> Path:
    """Name the folder or file of a bundle's export.

    Args:
        bundle: the bundle's folder.
        folder: where exports go.
        form: one of `FORMATS`.
    """
    name = bundle.resolve().name
    return folder / (f"{name}.bioimageio.zip" if form == BIOIMAGEIO else name)


def refuse_export(bundle: Path, target: Path, form: str, *, force: bool) -> None:
    """Stop before an export takes the place of something else.

    Args:
        bundle: the bundle's folder.
        target: see `export_target`.
        form: one of `FORMATS`.
        force: replace an export that is there.

    Raises:
        DataError: it is the bundle itself; something is there, and not to be replaced, or no export.
    """
    source, place = bundle.resolve(), target.resolve()
    if place == source or source in place.parents or place in source.parents:
        raise DataError(f"{target}: is the bundle itself, or inside it, or around it; give another folder as --output")
    if not target.exists():
        return
    if not _is_export(target, form):  # --force deletes: only what an export or a bundle is
        what = "bundle" if form == MONAI else "such export"
        raise DataError(
            f"{target}: is there already, and is no {what}, so it is not replaced; give another folder as "
            "--output, or remove it"
        )
    if not force:
        raise DataError(f"{target}: is there already; give another folder as --output, or --force to replace it")


def _is_export(target: Path, form: str) -> bool:
    if form == BIOIMAGEIO:
        return zipfile.is_zipfile(target)
    if form == HUGGINGFACE:
        return (target / HUGGINGFACE_CONFIG).is_file() and (target / HUGGINGFACE_WEIGHTS).is_file()
    return (target / "configs" / "metadata.json").is_file()
