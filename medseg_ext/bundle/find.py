"""Find a bundle by its name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import medseg_ext
from medseg_ext.errors import DataError

CONFIG = Path("configs", "inference.json")
VARIABLE = "MEDSEG_BUNDLES"


def bundle_folders() -> list[Path]:
    """List the folders in which bundles are looked for, the first to be asked first.

    They are those that the environment variable `MEDSEG_BUNDLES` names, then `bundles` in the working directory, then
    `bundles` beside this package, as in an editable install; those that exist, as absolute paths.
    """
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    beside = Path(medseg_ext.__file__).resolve().parents[1] / "bundles"
    folders = [folder.absolute() for folder in (*named, Path("bundles"), beside)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def find_bundles() -> dict[str, Path]:
    """List the bundles in `bundle_folders` by their names; of two of one name the first."""
    found: dict[str, Path] = {}
    for folder in bundle_folders():
        for config in sorted(folder.glob(f"*/{CONFIG}")):
            found.setdefault(config.parents[1].name, config.parents[1])
    return found


def find_bundle(name: str | None) -> Path:
    """Find the folder of a bundle that infers.

    Args:
        name: path of the folder, or the bundle's name in one of `bundle_folders`; None finds nothing.

    Returns:
        Its absolute path.

    Raises:
        DataError: there is no such bundle; lists those that there are.
    """
    if name and (Path(name) / CONFIG).is_file():
        return Path(name).absolute()
    found = find_bundles()
    if name in found:
        return found[name]
    if not found:
        looked = ", ".join(map(str, bundle_folders())) or "no folder"
        raise DataError(
            f"there are no bundles (looked in: {looked}): name the folder of one, or set {VARIABLE} to the"
            " folder that holds them"
        )
    nearest = difflib.get_close_matches(name or "", found, n=1)
    which = "which bundle? Give its name; train, evaluate and segment take it as --bundle NAME"
    what = f"there is no bundle '{name}'" if name else which
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    folders = ", ".join(sorted({str(path.parent) for path in found.values()}))
    raise DataError(f"{what}{hint}\nThere are, in {folders}:\n  " + "\n  ".join(sorted(found)))
