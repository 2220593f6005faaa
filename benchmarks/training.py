"""Steps and epochs of trainings."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from itertools import islice
from typing import Any

import torch

from benchmarks.aims import Faster
from benchmarks.pictures import ROOT, data_set, items
from benchmarks.rows import OURS, Contender, Row
from benchmarks.worker import Work

STEPS, CROPS = 2, 4  # in a call, and in a batch
EPOCH_IMAGES = 24
BARE, PLAIN, DETECTRON2 = "bare PyTorch", "MONAI's Dataset", "Detectron2"


def _step_row(network: str) -> Row:
    arguments = {"bundle": f"dsb2018_{network}"}
    return Row(
        f"step_{network}",
        f"{STEPS} training steps of dsb2018_{network}, {CROPS} crops of 256 x 256 each",
        [
            Contender(OURS, "benchmarks.training:our_steps", arguments),
            Contender(BARE, "benchmarks.training:bare_steps", arguments),
        ],
        [Faster(BARE, 0.95)],
        seconds=60,
        left_out="The same network, loss, optimiser, precision and crops in memory. Ours also has MONAI's engine, the "
        "IoU of the crops, and the handlers.",
        is_of_networks=True,
    )


ROWS = [
    *(_step_row(network) for network in ("unet", "unetplusplus", "segformer")),
    Row(
        "step_mask_rcnn",
        f"{STEPS} training steps of dsb2018_mask_rcnn, {CROPS} crops of 256 x 256 each",
        [
            Contender(OURS, "benchmarks.training:our_steps", {"bundle": "dsb2018_mask_rcnn", "amp": False}),
            Contender(DETECTRON2, "benchmarks.training:detectron2_steps"),
            Contender(BARE, "benchmarks.training:bare_steps", {"bundle": "dsb2018_mask_rcnn", "amp": False}),
        ],
        [Faster(DETECTRON2, 1.0), Faster(BARE, 0.95)],
        seconds=90,
        left_out="The same network, optimiser, crops in memory, and float32. Detectron2's `SimpleTrainer` gets boxes "
        "and masks that are ready; ours makes them of label maps in each step.",
        is_of_networks=True,
    ),
    Row(
        "epoch",
        f"First epoch's crops of {EPOCH_IMAGES} images of DSB2018, from files, without the network",
        [
            Contender(OURS, "benchmarks.training:our_epoch"),
            Contender(PLAIN, "benchmarks.training:plain_epoch"),
        ],
        [Faster(PLAIN, 5)],
        seconds=40,
        left_out="In one process. The other way: MONAI's `Dataset`, reader and transforms for the same steps "
        "(percentiles for `StretchContrastd`, zoom and crop for `RandCropAtObjectSized`). Stains are varied and "
        "targets made by ours in both, as MONAI cannot.",
    ),
]


def our_steps(bundle: str, device: str = "cpu", amp: bool = True) -> Work:
    """Let the trainer of a bundle run over batches in memory, without validation."""
    from ignite.engine import Engine

    parser = _training(bundle, device, amp=amp)
    batches = _batches(parser)
    trainer = parser.get_parsed_content("train#trainer")

    trainer.state.epoch_length = len(batches)

    def steps() -> float:
        Engine.run(trainer, batches, max_epochs=1)
        _wait_for(device)
        return float(trainer.state.output[0]["loss"])

    return Work(steps, STEPS)


def bare_steps(bundle: str, device: str = "cpu", amp: bool = True) -> Work:
    """Write the same steps out, as one does without a framework."""
    parser = _training(bundle, device, amp=amp)
    batches = _batches(parser)
    network, loss_function, optimizer = (
        parser.get_parsed_content(key) for key in ("network", "loss_function", "optimizer")
    )
    takes_label = bundle.endswith("mask_rcnn")
    scaler = torch.amp.GradScaler(device, enabled=amp and device == "cuda")

    def steps() -> float:
        network.train()
        for batch in batches:
            image, label = batch["image"].to(device), batch["label"].to(device)
            optimizer.zero_grad(set_to_none=True)
            with _autocast(parser, device):
                output = network(image, label) if takes_label else network(image)
                loss = loss_function(output, label)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        _wait_for(device)
        return loss.item()

    return Work(steps, STEPS)


def detectron2_steps(device: str = "cpu") -> Work:
    """Let Detectron2's trainer train the model within our network."""
    from detectron2.engine import SimpleTrainer
    from detectron2.structures import BitMasks, Boxes, Instances
    from detectron2.utils.events import EventStorage

    from medseg_ext.networks.mask_rcnn_targets import targets_of_label

    parser = _training("dsb2018_mask_rcnn", device, amp=False)
    network, optimizer = parser.get_parsed_content("network"), parser.get_parsed_content("optimizer")
    data = []
    for batch in _batches(parser):
        inputs = []
        for image, label in zip(batch["image"], batch["label"], strict=True):
            target = targets_of_label(label, n_detection_classes=1)
            instances = Instances(
                tuple(image.shape[1:]),
                gt_boxes=Boxes(target.boxes_xyxy),
                gt_classes=target.classes,
                gt_masks=BitMasks(target.masks),
            )
            inputs.append({"image": image * 255, "instances": instances})
        data.append(inputs)
    trainer = SimpleTrainer(network.train().detector.model, data * 100_000, optimizer)  # a list of the same few

    def steps() -> None:
        with EventStorage():
            for trainer.iter in range(STEPS):
                trainer.run_step()
        _wait_for(device)

    return Work(steps, STEPS)


def our_epoch() -> Work:
    """Make the data set and go through it once, as a training's first epoch does."""
    chosen = items("dsb2018", "training")[:EPOCH_IMAGES]
    parser = _training("dsb2018_unet", "cpu", cache_rate=1.0)
    parser["train#dataset#data"] = chosen

    def epoch() -> int:
        known = parser.ref_resolver.resolved_content
        for key in [key for key in known if key.startswith(("train#data", "train#sampler", "kind_weights"))]:
            parser.ref_resolver.remove_resolved_content(key)
        return sum(len(batch["image"]) for batch in parser.get_parsed_content("train#dataloader"))

    return Work(epoch, len(chosen))


def plain_epoch() -> Work:
    """Go through MONAI's plain data set once, with MONAI's transforms."""
    from monai import transforms as mt
    from monai.data import DataLoader, Dataset

    chosen = items("dsb2018", "training")[:EPOCH_IMAGES]
    parser = _training("dsb2018_unet", "cpu")
    maps, keys = ["instances", "classes"], ["image", "instances", "classes"]
    modes = ["bilinear", "nearest", "nearest"]
    spread, patch_size = parser["diameter_spread"], parser["patch_size"]
    crop_size = [int(1.4 * side) for side in patch_size]
    transform = mt.Compose(
        [
            mt.LoadImaged(keys, reader="PILReader", ensure_channel_first=True),
            mt.EnsureTyped(maps, dtype=[torch.int32, torch.uint8]),
            mt.ScaleIntensityRangePercentilesd("image", 0.1, 99.9, 0.0, 1.0, clip=True),
            mt.RandZoomd(keys, prob=1.0, min_zoom=1 / spread, max_zoom=spread, mode=modes, keep_size=False),
            mt.RandSpatialCropd(keys, crop_size, random_size=False),
            mt.RandAffined(
                keys,
                prob=1.0,
                spatial_size=patch_size,
                rotate_range=3.1416,
                scale_range=[0.1, 0.1],
                shear_range=[0.1, 0.1],
                translate_range=[side // 8 for side in patch_size],
                mode=modes,
                padding_mode="reflection",
            ),
            mt.RandFlipd(keys, prob=0.5, spatial_axis=0),
            parser.get_parsed_content("train#intensity_augmentation"),
            parser.get_parsed_content("train#target"),
            mt.SelectItemsd(["image", "label"]),
            mt.EnsureTyped(["image", "label"], track_meta=False),
        ]
    )

    def epoch() -> int:
        loader = DataLoader(Dataset(chosen, transform), batch_size=CROPS, shuffle=True, num_workers=0)
        return sum(len(batch["image"]) for batch in loader)

    return Work(epoch, len(chosen))


def _training(bundle: str, device: str, **overrides: Any) -> Any:
    """Read the config of a bundle's training; what is asked for of it is built."""
    from monai.bundle import ConfigParser
    from monai.utils import set_determinism

    logging.disable(logging.CRITICAL)
    set_determinism(0)
    parser = ConfigParser(ConfigParser.load_config_file(str(ROOT / "bundles" / bundle / "configs" / "train.json")))
    values = {
        "bundle_root": str(ROOT / "bundles" / bundle),
        "dataset_dir": str(data_set(bundle.partition("_")[0])),
        "output_dir": tempfile.mkdtemp(dir=ROOT / "out" / "bench" / "files"),
        "device": device,
        "num_workers": 0,
        "cache_rate": 0.0,
        "batch_size": CROPS,
        "val_interval": 10**6,  # never
        "max_epochs": 10**6,
        **overrides,
    }
    for key, value in values.items():
        parser[key] = value
    return parser


def _batches(parser: Any) -> list[dict[str, torch.Tensor]]:
    """Take the first batches of a training into memory."""
    batches = islice(parser.get_parsed_content("train#dataloader"), STEPS)
    return [{key: batch[key].clone() for key in ("image", "label")} for batch in batches]


def _autocast(parser: Any, device: str) -> contextlib.AbstractContextManager:
    """Give the precision in which the bundle trains."""
    from medseg_ext.inferers.autocast import cpu_computes_bfloat16

    if device == "cpu":
        return torch.autocast("cpu", torch.bfloat16, enabled=parser["amp"] and cpu_computes_bfloat16())
    return torch.autocast(device, enabled=parser["amp"])


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
