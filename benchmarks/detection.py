"""Mask R-CNN's segmentation beside Detectron2's own."""

from __future__ import annotations

from typing import Any

from benchmarks.aims import Faster
from benchmarks.contest import FILES
from benchmarks.pictures import ROOT, images
from benchmarks.rows import OURS, Contender, Row
from benchmarks.segmentation import segmentation
from benchmarks.worker import Work

BUNDLE = "dsb2018_mask_rcnn"
PREDICTOR, BY_DEFAULT = "DefaultPredictor", "medseg_ext, bfloat16"
MEGAPIXELS = 0.5

ROWS = [
    Row(
        "segment_mask_rcnn",
        "`segment`, Mask R-CNN of DSB2018, files to files, in float32, each image as it is",
        [
            Contender(OURS, "benchmarks.detection:ours", {"amp": False}),
            Contender(PREDICTOR, "benchmarks.detection:default_predictor"),
            Contender(BY_DEFAULT, "benchmarks.detection:ours", {"amp": True}),
        ],
        [Faster(PREDICTOR, 1.0)],
        seconds=90,
        unit="Mpx",
        left_out="The same network and weights at the same scale. Detectron2 reads the files, and ends with masks in "
        "memory; ours makes a label map of them, measures and writes. By default ours computes in bfloat16 where the "
        "processor can.",
        is_of_networks=True,
    )
]


def ours(amp: bool, device: str = "cpu") -> Work:
    """Segment without a look at the size of objects: as many pixels as Detectron2 sees."""
    paths, total = images("dsb2018", megapixels=MEGAPIXELS)
    diameter_px = _config()["working_diameter_px"]
    return Work(segmentation(BUNDLE, paths, device, amp=amp, object_diameter_px=diameter_px), total)


def default_predictor(device: str = "cpu") -> Work:
    """Detect by Detectron2's predictor, which builds the network of its config and loads our weights."""
    import torch
    from detectron2.data.detection_utils import read_image
    from detectron2.engine import DefaultPredictor

    from medseg_ext.handlers import WeightsLoader

    network = _config().get_parsed_content("network_def")
    WeightsLoader(load_path=str(ROOT / "bundles" / BUNDLE / "models" / "model.pt"), load_dict={"model": network}).load()
    detector = network.detector
    weights = FILES / f"detectron2_{device}.pth"
    torch.save(detector.model.state_dict(), weights)
    cfg = detector.cfg.clone()
    cfg.defrost()
    cfg.MODEL.WEIGHTS, cfg.MODEL.DEVICE = str(weights), device
    cfg.INPUT.MIN_SIZE_TEST = 0  # as it is
    predictor = DefaultPredictor(cfg)
    paths, total = images("dsb2018", megapixels=MEGAPIXELS)
    return Work(
        lambda: sum(len(predictor(read_image(str(path), "BGR"))["instances"].to("cpu")) for path in paths), total
    )


def _config() -> Any:
    """Read the config of the bundle's inference."""
    from monai.bundle import ConfigParser

    return ConfigParser(ConfigParser.load_config_file(str(ROOT / "bundles" / BUNDLE / "configs" / "inference.json")))
