"""Find a bundle by its name."""

from __future__ import annotations

import difflib
import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import medseg_ext
from medseg_ext.errors import DataError

CONFIG = Path("configs", "inference.json")
VARIABLE = "MEDSEG_BUNDLES"
PACKED = "_bundles"


def bundle_folders() -> list[Path]:
    """List the folders in which bundles are looked for, the first to be asked first.

    They are those that the environment variable `MEDSEG_BUNDLES` names, then `bundles` in the working directory, then
    `bundles` beside this package, as in an editable install, then what a wheel brings inside of it (`setup.py`); those
    that exist, as absolute paths.
    """
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    package = Path(medseg_ext.__file__).resolve().parent
    folders = [folder.absolute() for folder in (*named, Path("bundles"), package.parent / "bundles", package / PACKED)]
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
    refuse_none(found)
    nearest = difflib.get_close_matches(name or "", found, n=1)
    which = "which bundle? Give its name; train, evaluate and segment take it as --bundle NAME"
    what = f"there is no bundle '{name}'" if name else which
    hint = f"; did you mean {nearest[0]}?" if nearest else ""
    raise DataError("\n".join([f"{what}{hint or '.'}", *describe_bundles(found)]))


def refuse_none(found: Mapping[str, Path]) -> None:
    """Raise DataError where no bundle was found; says where they were looked for."""
    if not found:
        looked = ", ".join(map(str, bundle_folders())) or "no folder"
        raise DataError(
            f"there are no bundles (looked in: {looked}): name the folder of one, or set {VARIABLE} to the"
            " folder that holds them"
        )


def describe_bundles(bundles: Mapping[str, Path]) -> list[str]:
    """Say in lines what bundles find, by their metadata, and which of them is recommended for what.

    Args:
        bundles: folder of each bundle by its name.
    """
    folders = ", ".join(sorted({str(path.parent) for path in bundles.values()}))
    lines, by_task = [f"There are, in {folders}:"], defaultdict(list)
    metadata = {name: _metadata(bundle) for name, bundle in sorted(bundles.items())}
    for name, told in metadata.items():
        by_task[str(told.get("task") or "no task is stated")].append(name)
    for task, names in by_task.items():
        lines += [f"  {task}:", *(f"    {name}{_recommendation(metadata[name])}" for name in names)]
    return lines


def describe_recommendation(bundle: Path) -> str:
    """Say what a bundle is recommended for, such as "recommended to begin with"; empty of others."""
    return _recommendation(_metadata(bundle)).strip()


def _recommendation(metadata: Mapping[str, Any]) -> str:
    return f"   recommended {metadata['recommended']}" if metadata.get("recommended") else ""


def _metadata(bundle: Path) -> dict[str, Any]:
    """Read a bundle's metadata; empty where they cannot be read, which is no reason not to list it."""
    try:
        content = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
