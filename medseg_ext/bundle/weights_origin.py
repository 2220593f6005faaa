"""Let a bundle tell what its weights come from, and nothing of other weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from medseg_ext.bundle.format_json import format_json
from medseg_ext.bundle.keys import DESCRIPTIONS
from medseg_ext.bundle.score_settings import score_settings
from medseg_ext.bundle.ship_target import REMEDY
from medseg_ext.bundle.trained_settings import network_settings
from medseg_ext.datasets.data_set_folder import NOT_STATED
from medseg_ext.errors import DataError
from medseg_ext.files import WEIGHTS_FILE
from medseg_ext.images.channels import Choice, is_list, name_of
from medseg_ext.networks.weight_files import refuse_absent
from medseg_ext.networks.weights import read_saved
from medseg_ext.objects.training_images import TRAINING_IMAGES_FILE, TrainingImages
from medseg_ext.pages.model_card import CARD_FILE
from medseg_ext.runs.comparison_tables import markdown_text
from medseg_ext.runs.provenance import describe_file, provenance_file, read_provenance

LICENCE_FILE = Path("docs") / "data_license.txt"
CONFIGS = ("train", "evaluate", "inference")
OF_SCHEDULE = (
    "learning_rate",
    "max_epochs",
    "crops_per_image",
    "batch_size",
    "patch_size",
    "frozen_norms",
    "ema_momentum",
    "seed",
)
MAINTAINERS = "The medseg_ext maintainers"  # of the bundles here, as their metadata name them
NOT_MEASURED = "Not measured for these weights: `medseg card` writes it from an evaluation on test images."


@dataclass(frozen=True)
class WeightsOrigin:
    """What weights come from.

    Attributes:
        sha256: of the weights' file.
        data_set: `name`, `licence`, `origin`, `images` and `kinds` of the data set; None where nothing tells.
        settings: of the training.
        start: SHA-256 of the weights that it started from; None is from scratch, or not known.
        start_name: name of the bundle that these are part of; empty if they are of none, or those that the bundle had.
        started_from_replaced: whether these are the weights that the bundle had before.
        kept: scores of the weights on the validation images, and their epoch; None where nothing tells.
    """

    sha256: str
    data_set: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    start: str | None
    start_name: str
    started_from_replaced: bool
    kept: Mapping[str, float] | None

    @property
    def is_start(self) -> bool:
        """Whether the training kept what it started from, as no epoch was better."""
        return self.start is not None and self.kept is not None and self.kept["epoch"] == 0

    @property
    def name(self) -> str:
        """Name the data set."""
        return (self.data_set or {}).get("name") or "not known"

    @property
    def licence(self) -> str:
        """Name the licence of the data set."""
        return (self.data_set or {}).get("licence") or "not stated"


def read_origin(weights: Path, *, replaced: Path) -> WeightsOrigin:
    """Read what weights come from, of the files beside them.

    Args:
        weights: such as a run's `model.pt`.
        replaced: the weights whose place they take; it need not exist.

    Raises:
        DataError: the weights are missing, or a file beside them is broken.
    """
    refuse_absent(weights, remedy=REMEDY)
    folder, digest = weights.parent, describe_file(weights)["sha256"]
    if not provenance_file(folder, "train").is_file():
        return WeightsOrigin(digest, None, {}, None, "", False, None)
    record = read_provenance(folder, "train")
    first = [*record.get("earlier", []), record][0]
    start = (first["weights"] or {}).get("sha256")
    named = {"name": Path(record["settings"]["dataset_dir"]).name}
    data_set = named | {key: value for key, value in (record["data_set"] or {}).items() if value is not None}
    from_replaced = start is not None and start == describe_file(replaced)["sha256"]
    start_name = _bundle_of((first["weights"] or {}).get("path"))
    return WeightsOrigin(
        sha256=digest,
        data_set={key: data_set.get(key) for key in ("name", "licence", "origin", "images", "kinds")},
        settings=record["settings"],
        start=start,
        start_name="" if from_replaced and start_name == _bundle_of(str(replaced)) else start_name,
        started_from_replaced=from_replaced,
        kept=_kept(folder / "checkpoint.pt"),
    )


def _bundle_of(weights: str | None) -> str:
    """Name the bundle whose own weights a file is; empty if it is of none."""
    path = Path(weights or "")
    return path.parents[1].name if path.parts[-2:] == Path(WEIGHTS_FILE).parts else ""


def _kept(checkpoint: Path) -> Mapping[str, float] | None:
    if not checkpoint.is_file():
        return None
    state = read_saved(
        checkpoint, remedy=f"remove it to ship the {checkpoint.with_name('model.pt').name} beside it without it"
    )
    kept = state.get("best_model", {}).get("best") if isinstance(state, Mapping) else None
    return kept if isinstance(kept, Mapping) else None


def check_is_evaluation_of(weights: Path, evaluation: Path) -> None:
    """Refuse an evaluation of other weights.

    Raises: DataError: names both.
    """
    evaluated = read_provenance(evaluation, "evaluate")["weights"] or {}
    if evaluated.get("sha256") != describe_file(weights)["sha256"]:
        raise DataError(
            f"{evaluation} is an evaluation of {evaluated.get('path')}, and not of {weights}: evaluate these"
        )


def changed_settings(bundle: Path, origin: WeightsOrigin, weights: Path) -> dict[str, Any]:
    """Give the keys of the bundle's configs that a training had otherwise, and a title that is that of its data.

    How scores are calibrated comes of what was fitted for the weights, or ends.
    """
    config = _read(bundle / "configs" / "inference.json")
    changes = network_settings(origin.settings, config) | score_settings(weights, config)
    if origin.data_set and "title" in config:
        own = origin.settings.get("title")
        changes["title"] = own if own and own != config["title"] else origin.name
    return changes


def change_configs(bundle: Path, changes: Mapping[str, Any]) -> list[Path]:
    """Write keys into the bundle's configs, those that have them; returns the files."""
    written = []
    for file in (bundle / "configs" / f"{name}.json" for name in CONFIGS):
        config = _read(file) if file.is_file() else {}
        changed = {key: value for key, value in changes.items() if key in config and config[key] != value}
        if changed:
            _write(file, config | changed)
            written.append(file)
    return written


def describe_weights(bundle: Path, origin: WeightsOrigin, *, authors: str | None = None) -> list[Path]:
    """Write what weights come from into metadata, licence and model card of a bundle.

    Args:
        bundle: the bundle's folder.
        origin: of its weights.
        authors: whose the weights are; None keeps whom the bundle names, but for the maintainers of this package.

    Returns:
        The files.
    """
    metadata_file, licence_file, card = bundle / "configs" / "metadata.json", bundle / LICENCE_FILE, bundle / CARD_FILE
    config = _read(bundle / "configs" / "inference.json")
    class_names = config.get("class_names", [])
    metadata = _metadata(_read(metadata_file), origin, class_names)
    _tell_authors(metadata, authors)
    _tell_channels(metadata, config.get("channel"))
    former = licence_file.read_text(encoding="utf-8") if licence_file.is_file() else ""
    card.parent.mkdir(exist_ok=True)
    _write(metadata_file, metadata)
    licence_file.write_text(_render("data_license.txt", origin=origin, former=_indented(former)), encoding="utf-8")
    schedule = {key: origin.settings[key] for key in OF_SCHEDULE if key in origin.settings}
    text = _render(
        "card.md", origin=origin, metadata=metadata, classes=class_names, schedule=schedule, not_measured=NOT_MEASURED,
        name=bundle.name, has_curve=(card.parent / "iou_curve.png").is_file(),
        tells_unlike=_tells_unlike(bundle / WEIGHTS_FILE),
    )  # fmt: skip
    card.write_text(text, encoding="utf-8")
    return [metadata_file, licence_file, card]


def _tells_unlike(weights: Path) -> bool:
    """Say whether an inference by these weights tells of images that are unlike those of the training."""
    known = weights.with_name(TRAINING_IMAGES_FILE)
    return known.is_file() and TrainingImages.read(known).can_tell


def _metadata(metadata: dict[str, Any], origin: WeightsOrigin, class_names: list[str]) -> dict[str, Any]:
    known = origin.data_set or {}
    metadata.pop("kinds", None)
    metadata.pop("recommended", None)  # that was said of other weights
    trained_on = None if origin.is_start else known.get("name")
    if trained_on is None or trained_on != metadata.get("data_set"):
        for key in ("data_set", "data_set_doi", "weights_license"):  # the licence is for those to say who trained them
            metadata.pop(key, None)
        metadata |= {"data_set": trained_on} if trained_on else {}
    licence = known.get("licence") or "licence not stated"
    metadata["data_source"] = f"{origin.name}, {licence}" if known and not origin.is_start else "not known"
    metadata["task"] = f"Segmentation of objects in images like those of: {origin.name}"
    metadata["image_classes"] = (
        f"RGB, images like those of: {origin.name}; values in [0, 1] after stretching of the contrast"
    )
    before = [each.partition(" ")[2] for each in metadata.get("label_classes", "").split(", ")]
    metadata["label_classes"] = ", ".join(f"{number} {name}" for number, name in enumerate(class_names))
    outputs = metadata.get("network_data_format", {}).get("outputs", {}).get("pred", {})
    channels = list(outputs.get("channel_def", {}).values())
    if "background" in channels and before != class_names:
        first = channels.index("background")
        channels[first : first + len(before)] = class_names
        outputs["channel_def"] = {str(number): name for number, name in enumerate(channels)}
        outputs["num_channels"] = len(channels)
    metadata["weights"] = {
        "sha256": origin.sha256,
        "data_set": {key: value for key, value in known.items() if value} or None,
        "started_from": origin.start,
        "started_from_bundle": origin.start_name or None,
        "validation": dict(origin.kept) if origin.kept else None,
    }
    return metadata


def _tell_authors(metadata: dict[str, Any], authors: str | None) -> None:
    """Name whose the weights are; nobody is named who did not make them."""
    if authors or metadata.get("authors", MAINTAINERS) == MAINTAINERS:
        metadata["authors"] = authors or NOT_STATED
        metadata["copyright"] = f"Copyright (c) {authors}" if authors else NOT_STATED


def _tell_channels(metadata: dict[str, Any], channel: Choice) -> None:
    """Say which channels the network sees, if a list of them was chosen."""
    image = metadata.get("network_data_format", {}).get("inputs", {}).get("image")
    if image is not None and is_list(channel):
        image |= {
            "format": "magnitude",
            "num_channels": len(channel),
            "channel_def": {str(number): name_of(each) for number, each in enumerate(channel)},
        }
        metadata["image_classes"] = metadata["image_classes"].replace("RGB", ", ".join(map(name_of, channel)), 1)


def _render(template: str, **values: Any) -> str:
    environment = jinja2.Environment(  # nosec B701 # of Markdown, in which names are escaped, and of plain text
        loader=jinja2.PackageLoader("medseg_ext.bundle"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["markdown"] = markdown_text
    return environment.get_template(template).render(**values)


def _indented(text: str) -> str:
    return "".join(f"    {line}".rstrip() + "\n" for line in text.strip().splitlines())


def _read(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}): give the folder of a bundle") from error
    return content


def _write(file: Path, content: Mapping[str, Any]) -> None:
    file.write_text(format_json(content, one_line={DESCRIPTIONS}), encoding="utf-8")
