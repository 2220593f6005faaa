"""Plan a training on data of one's own: what it starts from, and settings that suit the number of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from medseg_ext.bundle.keys import read_defaults
from medseg_ext.datasets.cut_objects import keeps_cut_objects
from medseg_ext.datasets.data_set_folder import CHANNEL, load_class_names, read_dataset_json
from medseg_ext.errors import DataError
from medseg_ext.files import WEIGHTS_FILE
from medseg_ext.networks.weight_files import REMEDY, refuse_no_weights
from medseg_ext.runs.provenance import provenance_file, read_provenance, repeatable_settings

SHIPPED, SCRATCH = "shipped", "scratch"
LEARNING_RATE = 0.0003
LEAST_CROPS = 64  # of an epoch
# What decides what a network is, what it sees and what of its objects is kept: goes with its weights.
OF_NETWORK = (
    "class_names", "object_name", "working_diameter_px", "contrast_percentiles", "variant", "backbone_depth",
    "anchor_sizes_px", "channel", "keep_cut_objects",
)  # fmt: skip
WHERE_NOT_RECORDED = {"keep_cut_objects": True}  # of trainings that began before there was this key
EPOCHS, LEAST_EPOCHS, MOST_CROPS = 6, 4, 2400  # of a training: minutes on a CPU


class Plan(NamedTuple):
    """What a run gets besides what is given for it.

    Attributes:
        settings: values of the config's keys.
        lines: that tell people of it.
    """

    settings: dict[str, Any]
    lines: list[str]


def fine_tuning_settings(n_images: int) -> dict[str, Any]:
    """Choose the settings of a training that starts from weights; docs/fine_tuning.md has the measurements.

    Args:
        n_images: number of images to train on, at least 1.

    >>> fine_tuning_settings(7)["crops_per_image"], fine_tuning_settings(500)["max_epochs"]
    (10, 4)
    """
    crops_per_image = -(-LEAST_CROPS // n_images)
    return {
        "learning_rate": LEARNING_RATE,
        "frozen_norms": True,
        "crops_per_image": crops_per_image,
        "max_epochs": max(LEAST_EPOCHS, min(EPOCHS, MOST_CROPS // (n_images * crops_per_image))),
        "val_interval": 2,
    }


def plan_training(
    bundle: Path, given: Mapping[str, Any], *, data: Path, output: Path, start: str | None = None
) -> Plan:
    """Plan what is not given for a training.

    Args:
        bundle: the bundle's folder.
        given: values of the config's keys.
        data: the data set folder, whose classes the network is to learn.
        output: the training's folder; one that goes on keeps what it began with.
        start: "shipped" or "scratch"; None is the weights of `given`, else the shipped ones.

    Raises:
        DataError: the start is given twice, or holds no weights, or the bundle has none.
    """
    resume = given.get("resume", False)
    goes_on = resume is True or (resume and (output / "checkpoint.pt").is_file())
    if goes_on and provenance_file(output, "train").is_file():
        return _as_before(output, given, bundle)
    weights = given.get("ckpt_path")
    if start and weights:
        raise DataError(f"--from {start} and --ckpt_path {weights}: give one of them")
    if weights:
        refuse_no_weights(Path(weights), remedy=REMEDY)
    try:
        dataset = read_dataset_json(data)
        of_data, n_images = load_class_names(data), len(dataset["training"])
    except (DataError, KeyError, TypeError):
        return Plan({}, [])  # the training itself says what is wrong
    plan = Plan({}, [])
    if "title" not in given and dataset.get("name"):
        plan.settings["title"] = str(dataset["name"])
    defaults = read_defaults(bundle / "configs" / "train.json")
    of_bundle = defaults.get("class_names")
    if "class_names" not in given and of_data != of_bundle:
        plan.settings["class_names"] = of_data
        plan.lines.append(
            f"classes: those of the data, {', '.join(of_data)} (the bundle's: {', '.join(of_bundle or [])})"
        )
    channel = dataset.get(CHANNEL)
    if "channel" not in given and channel != defaults.get("channel"):
        plan.settings["channel"] = channel
        plan.lines.append(f"channels: those of the data, {'grey or RGB' if channel is None else channel}")
    if "keep_cut_objects" not in given:
        _plan_cut_objects(plan, keeps_cut_objects(data, dataset["training"]), defaults.get("keep_cut_objects"))
    if start == SCRATCH or ("ckpt_path" in given and not weights):
        plan.lines.append("start: from scratch")
        return plan
    if weights:
        plan.lines.append(f"start: {weights}, validated first")
    else:
        file = bundle / WEIGHTS_FILE
        if not file.is_file():
            raise DataError(
                f"{file}: is missing, and a training starts from it: give --from scratch, or --ckpt_path FILE"
            )
        plan.settings["ckpt_path"] = str(file)
        plan.lines.append(f"start: the shipped weights, {file}, validated first (--from scratch starts anew)")
    chosen = {key: value for key, value in fine_tuning_settings(max(n_images, 1)).items() if key not in given}
    plan.settings.update(chosen)
    if chosen:
        texts = ", ".join(f"{key} {value}" for key, value in chosen.items())
        plan.lines.append(f"for {n_images} training image{'s' if n_images != 1 else ''}: {texts}")
    return plan


def _plan_cut_objects(plan: Plan, of_data: bool | None, of_bundle: bool | None) -> None:
    """Add to a plan whether objects at borders are kept, where the data differ from the bundle, or cannot tell.

    Args:
        plan: gets a setting and a line.
        of_data: None where the data cannot tell.
        of_bundle: None where the bundle has no such key.
    """
    what = "objects of which the border of an image leaves little"
    if of_bundle is None or of_data == of_bundle or (of_data is None and of_bundle):
        return
    if of_data is None:
        plan.lines.append(
            f"{what}: left out, as by the bundle; the data have too few to tell (--keep_cut_objects True)"
        )
        return
    plan.settings["keep_cut_objects"] = of_data
    plan.lines.append(
        f"{what}: {'kept, as the data have them' if of_data else 'left out, as the data have next to none'}"
    )


def _as_before(output: Path, given: Mapping[str, Any], bundle: Path) -> Plan:
    """Take what a training that goes on began with."""
    before = WHERE_NOT_RECORDED | repeatable_settings(read_provenance(output, "train"))
    of_bundle = read_defaults(bundle / "configs" / "train.json")
    keys = ("ckpt_path", "title", *OF_NETWORK, *fine_tuning_settings(1))
    settings = {key: before[key] for key in keys if key in before and key in of_bundle and key not in given}
    if settings.get("ckpt_path") and not Path(settings["ckpt_path"]).is_file():  # its state has what became of them
        settings["ckpt_path"] = None
    return Plan(settings, [f"goes on with the training in {output}, by its own settings"])
