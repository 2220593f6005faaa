"""Look at files of weights before PyTorch is loaded."""

from __future__ import annotations

import contextlib
import difflib
import pickletools  # nosec B403 # which lists what a pickle holds, and makes nothing of it
import zipfile
from collections.abc import Collection
from pathlib import Path

from medseg_ext.errors import DataError
from medseg_ext.files import WEIGHTS_FILE

OF_A_RUN = "model.pt"  # the weights in the folder of a training
SUFFIXES = (".pt", ".pth", ".safetensors")
REMEDY = "give --ckpt_path weights of this bundle, or the options with which they were trained"
IN_A_TRAINING = {"network", "optimizer"}  # names in the state of a training, which are in no weights


def refuse_no_weights(path: Path, *, remedy: str) -> None:
    """Stop at what holds no weights, as far as that is seen without loading them.

    Args:
        path: the file.
        remedy: what to do about a file that cannot be used, for the message.

    Raises:
        DataError: as `refuse_absent`; it is TorchScript, or the state of a training.
    """
    refuse_absent(path, remedy=remedy)
    refuse_torchscript(path, remedy=remedy)
    refuse_training_state(path, _names_in(path))


def refuse_absent(path: Path, *, remedy: str) -> None:
    """Stop where there is no file of weights.

    Raises:
        DataError: there is none, or a folder; names the weights that may be meant, or the remedy.
    """
    if path.is_dir():
        inside = next((path / name for name in (OF_A_RUN, WEIGHTS_FILE) if (path / name).is_file()), None)
        what = f"give the weights in it, {inside}" if inside else f"it holds no {OF_A_RUN}; {remedy}"
        raise DataError(f"{path} is a folder: {what}")
    if path.is_file():
        return
    beside: list[str] = []
    with contextlib.suppress(OSError):
        beside = [each.name for each in path.parent.iterdir() if each.suffix in SUFFIXES and each.is_file()]
    nearest = difflib.get_close_matches(path.name, sorted(beside), n=1)
    raise DataError(
        f"{path} does not exist; " + (f"did you mean {path.with_name(nearest[0])}?" if nearest else f"{remedy}")
    )


def refuse_torchscript(path: Path, *, remedy: str) -> None:
    """Stop at a file of code. Raises: DataError: it is TorchScript."""
    if is_torchscript(path):
        raise DataError(f"{path}: is TorchScript, which is code and no weights; {remedy}")


def refuse_training_state(path: Path, names: Collection[str]) -> None:
    """Stop at all that a resumed training needs, which is more than its weights.

    Args:
        path: the file, for the message.
        names: of what is in it.

    Raises:
        DataError: it is the state of a training; names the weights beside it.
    """
    if set(names) >= IN_A_TRAINING:
        raise DataError(
            f"{path}: is the state of a training; give {OF_A_RUN} beside it (to go on with it, train with --resume "
            "True)"
        )


def is_torchscript(path: Path) -> bool:
    """Say whether a file is TorchScript, by what is in it."""
    try:
        with zipfile.ZipFile(path) as file:
            return any("/code/" in name for name in file.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _names_in(path: Path) -> set[str]:
    """List the texts in what PyTorch has saved, such as names of weights; none of a file that it does not save so."""
    names: set[str] = set()
    try:
        with zipfile.ZipFile(path) as file:
            content = next((name for name in file.namelist() if name.endswith("/data.pkl")), None)
            if content is not None:
                names |= {text for _, text, _ in pickletools.genops(file.read(content)) if isinstance(text, str)}
    except (OSError, ValueError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile):
        pass  # damaged, which whoever loads it will say
    return names
