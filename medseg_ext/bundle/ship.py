"""Put what a training gave into a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from monai.bundle import ConfigParser

from medseg_ext.bundle.ship_target import REMEDY, refuse_shipping
from medseg_ext.bundle.trust import refuse_unknown_code
from medseg_ext.bundle.weights_origin import (
    change_configs,
    changed_settings,
    check_is_evaluation_of,
    describe_weights,
    read_origin,
)
from medseg_ext.errors import DataError
from medseg_ext.files import WEIGHTS_FILE, file_sha256, write_atomically
from medseg_ext.networks.weights import read_weights, save_state
from medseg_ext.objects.training_images import TRAINING_IMAGES_FILE
from medseg_ext.pages.model_card import SAMPLES_FILE, WORST_FILE, write_card
from medseg_ext.runs.run_files import CURVE_FILES

LOG_FILE = "training_log.md"  # how the weights came to be, written by hand
LARGE_FILES_HEAD = """\
# Written by `medseg ship`. The weights lie in this folder, so there is no url to fetch them from;
# `python -m monai.bundle download_large_files --bundle_path <this folder>` fails where they are not these.
"""


def to_half_precision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Round the floating-point tensors of a state dict to float16; integers stay as they are.

    Raises:
        ValueError: a value is not finite, or too large for float16; names the tensor.

    >>> to_half_precision({"weight": torch.ones(1), "steps": torch.tensor(7)})
    {'weight': tensor([1.], dtype=torch.float16), 'steps': tensor(7)}
    """
    rounded = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    for name, value in rounded.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"{name} holds a value that float16 cannot hold")
    return rounded


class Shipped(NamedTuple):
    """What shipping did to a bundle: the files that it wrote, the weights first, and those that it removed."""

    written: list[Path]
    removed: list[Path]


def write_large_files(bundle: Path) -> Path:
    """Write the hash of a bundle's weights into its `large_files.yml`, in the format of MONAI's model zoo.

    The weights are part of the bundle, so the `url` is empty: MONAI's `download_large_files` fetches nothing and
    compares the hash. A workflow does not compare it when it loads, as `ckpt_path` may be any weights.

    Args:
        bundle: the bundle's folder.

    Returns:
        The file.

    Raises:
        DataError: the bundle has no weights, or they cannot be read.
    """
    digest = file_sha256(bundle / WEIGHTS_FILE)
    entry = {"path": WEIGHTS_FILE, "url": "", "hash_val": digest, "hash_type": "sha256"}
    file = bundle / "large_files.yml"
    write_atomically(file, LARGE_FILES_HEAD + yaml.safe_dump({"large_files": [entry]}, sort_keys=False))
    return file


def ship_into_copy(
    weights: Path, source: Path, target: Path, *, evaluation: Path | None = None, authors: str | None = None
) -> Shipped:
    """Put the weights of a training into a copy of a bundle, see `ship_weights`.

    Args:
        weights: a plain state dict, such as a run's `model.pt`.
        source: folder of the bundle, which stays as it is.
        target: folder of the copy, which must not exist.
        evaluation: see `ship_weights`.
        authors: see `ship_weights`.

    Raises:
        DataError: there is something at `target`; or as `ship_weights` does. No copy is left then.
    """
    refuse_shipping(weights, target, source=source)
    made = [folder for folder in (target, *target.absolute().parents) if not folder.exists()]
    try:
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        return ship_weights(weights, target, evaluation=evaluation, authors=authors)
    except BaseException:
        shutil.rmtree(made[-1], ignore_errors=True)
        raise


def ship_weights(weights: Path, bundle: Path, *, evaluation: Path | None = None, authors: str | None = None) -> Shipped:
    """Put the weights of a training, in half precision, into a bundle, which then tells of them and of no others.

    The weights become `models/model.pt`, their hash goes into `large_files.yml`, and the curve that lies beside them
    into `docs`. So does `training_images.json`, what is known of the training images, but beside the weights again.
    What the weights come from is read from `provenance_train.json` beside them: it goes into `metadata.json`,
    into `docs/data_license.txt`, and into a model card that is written anew. The configs get the training's classes,
    what else of its settings decides what the network sees, and its calibration of scores, or none. Figures and
    pictures of other weights are removed.

    Args:
        weights: a plain state dict, such as a run's `model.pt`.
        bundle: the bundle's folder.
        evaluation: output_dir of an evaluation of these weights on test images, for the card; None leaves it without
            figures.
        authors: whose the weights are, for the metadata; None keeps whom the bundle names, but for the maintainers of
            this package.

    Raises:
        DataError: there are no such weights, they are the bundle's own, the file holds other things, such as the state
            of a training, or they are not of the bundle's network; the evaluation is of other weights; or the bundle
            names code that is not run unasked.
        ValueError: a weight is too large for float16.
    """
    target = bundle / WEIGHTS_FILE
    refuse_shipping(weights, bundle)
    refuse_unknown_code(bundle)
    origin = read_origin(weights, replaced=target)
    changes = changed_settings(bundle, origin, weights)
    has_other_layer = bool({"class_names", "channel"} & changes.keys())  # the last, or the first
    if origin.is_start and origin.started_from_replaced and not has_other_layer:
        raise DataError(f"{weights}: is what the bundle has already, as no epoch of the training was better")
    if evaluation:
        check_is_evaluation_of(weights, evaluation)
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs" / "inference.json"))
    parser.update(changes)
    state = to_half_precision(read_weights(weights, parser.get_parsed_content("network_def"), remedy=REMEDY))
    save_state(state, target)
    shipped = Shipped(written=[target, write_large_files(bundle)], removed=[])
    shipped.written.extend(change_configs(bundle, changes))
    companions = {weights.parent / name: bundle / "docs" / name for name in CURVE_FILES}
    companions[weights.parent / TRAINING_IMAGES_FILE] = target.parent / TRAINING_IMAGES_FILE
    for source, copy in companions.items():
        if source.is_file():
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(source, copy)
            shipped.written.append(copy)
        else:
            _remove(copy, shipped)
    for name in (WORST_FILE, SAMPLES_FILE, LOG_FILE):
        _remove(bundle / "docs" / name, shipped)
    shipped.written.extend(describe_weights(bundle, origin, authors=authors))
    if evaluation:
        shipped.written.extend(file for file in write_card(bundle, evaluation).files if file not in shipped.written)
    return shipped._replace(removed=[file for file in shipped.removed if file not in shipped.written])


def _remove(file: Path, shipped: Shipped) -> None:
    if file.is_file():
        file.unlink()
        shipped.removed.append(file)
