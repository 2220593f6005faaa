"""Build Detectron2's Mask R-CNN behind plain tensors; no other module imports Detectron2."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import detectron2  # noqa: F401 - first, so that its absence is named and not that of a part of it
import torch
import torch.distributed as dist
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode, get_cfg
from detectron2.export.torchscript_patch import patch_builtin_len
from detectron2.modeling import BACKBONE_REGISTRY, build_model
from detectron2.modeling.backbone import FPN, Backbone, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, build_resnet_fpn_backbone
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage
from torch import nn

from medseg_ext.errors import NotFiniteError
from medseg_ext.networks.array_pickles import read_array_pickle
from medseg_ext.networks.efficientnet_lite import CHANNELS, EfficientNetLiteEncoder
from medseg_ext.networks.mask_rcnn_targets import ObjectTargets
from medseg_ext.networks.weights import find_not_finite
from medseg_ext.processes import n_processes

RESNET_FEATURES = ["res2", "res3", "res4", "res5"]
logger = logging.getLogger(__name__)


class _Checkpointer(DetectionCheckpointer):
    """Reads files without running what a pickle may hold: Detectron2's own loads `.pkl` as such."""

    def _load_file(self, filename: str) -> dict[str, Any]:
        if not filename.endswith(".pkl"):
            return super()._load_file(filename)  # torch.load, of tensors alone
        data = read_array_pickle(filename)
        if "model" in data and "__author__" in data:
            return data
        # As Detectron2 has it, a file of Caffe2, whose detection models hold "blobs".
        blobs = data.get("blobs", data)
        weights = {name: value for name, value in blobs.items() if not name.endswith("_momentum")}
        return {"model": weights, "__author__": "Caffe2", "matching_heuristics": True}


# Fit for hundreds of small objects, moderate enough for a CPU. They change no weight's shape.
TASK_DEFAULTS: dict[str, Any] = {
    "META_ARCHITECTURE": "GeneralizedRCNN",
    "MASK_ON": True,
    "RPN.PRE_NMS_TOPK_TRAIN": 1000,
    "RPN.POST_NMS_TOPK_TRAIN": 500,
    "ROI_HEADS.BATCH_SIZE_PER_IMAGE": 128,
}
# Fit for training from scratch: nothing frozen, norms that learn. In the heads the norm is over groups, as an image
# without objects gives them nothing to take a batch's statistics of.
ARCHITECTURE_DEFAULTS: dict[str, Any] = {
    "BACKBONE.NAME": "build_resnet_fpn_backbone_of_any_width",
    "BACKBONE.FREEZE_AT": 0,
    "PIXEL_MEAN": [127.5, 127.5, 127.5],
    "PIXEL_STD": [64.0, 64.0, 64.0],
    "RESNETS.NORM": "BN",
    "RESNETS.STRIDE_IN_1X1": False,
    "RESNETS.OUT_FEATURES": RESNET_FEATURES,
    "FPN.IN_FEATURES": RESNET_FEATURES,
    "FPN.OUT_CHANNELS": 96,
    "FPN.NORM": "GN",
    "ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
    "RPN.IN_FEATURES": ["p2", "p3", "p4", "p5", "p6"],
    "ROI_HEADS.NAME": "StandardROIHeads",
    "ROI_HEADS.IN_FEATURES": ["p2", "p3", "p4", "p5"],
    "ROI_BOX_HEAD.NAME": "FastRCNNConvFCHead",
    "ROI_BOX_HEAD.NUM_FC": 2,
    "ROI_BOX_HEAD.FC_DIM": 256,
    "ROI_BOX_HEAD.POOLER_RESOLUTION": 7,
    "ROI_MASK_HEAD.NAME": "MaskRCNNConvUpsampleHead",
    "ROI_MASK_HEAD.NUM_CONV": 4,
    "ROI_MASK_HEAD.CONV_DIM": 96,
    "ROI_MASK_HEAD.NORM": "GN",
    "ROI_MASK_HEAD.POOLER_RESOLUTION": 14,
}
IMAGENET = "imagenet"  # as MODEL.WEIGHTS
EFFICIENTNET_LITE: dict[str, Any] = {
    "BACKBONE.NAME": "build_efficientnet_lite_fpn_backbone",
    "BACKBONE.FREEZE_AT": 2,
    "PIXEL_MEAN": [127.0, 127.0, 127.0],
    "PIXEL_STD": [128.0, 128.0, 128.0],
}
BLOCKS_PER_STAGE = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3]}


@BACKBONE_REGISTRY.register()
def build_resnet_fpn_backbone_of_any_width(cfg: CfgNode, input_shape: Any) -> nn.Module:
    """Build what Detectron2's `build_resnet_fpn_backbone` does, which refuses a narrow ResNet-18 or -34."""
    options = cfg.MODEL.RESNETS
    if options.DEPTH not in BLOCKS_PER_STAGE or options.RES2_OUT_CHANNELS == 64:
        return build_resnet_fpn_backbone(cfg, input_shape)
    stem = BasicStem(input_shape.channels, options.STEM_OUT_CHANNELS, norm=options.NORM)
    stages, in_channels = [], options.STEM_OUT_CHANNELS
    for index, n_blocks in enumerate(BLOCKS_PER_STAGE[options.DEPTH]):
        out_channels = options.RES2_OUT_CHANNELS * 2**index
        strides = [1 if index == 0 else 2] + [1] * (n_blocks - 1)
        stages.append(
            ResNet.make_stage(
                BasicBlock,
                n_blocks,
                stride_per_block=strides,
                in_channels=in_channels,
                out_channels=out_channels,
                norm=options.NORM,
            )
        )
        in_channels = out_channels
    bottom_up = ResNet(stem, stages, out_features=options.OUT_FEATURES, freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT)
    return _feature_pyramid(cfg, bottom_up)


class _EfficientNetLite(Backbone):
    """EfficientNet-Lite0 at strides 4 to 32, under the names that Detectron2's ResNets give theirs."""

    def __init__(self, *, pretrained: bool, frozen_levels: int, in_channels: int) -> None:
        super().__init__()
        # Detectron2 scales the image, by PIXEL_MEAN and PIXEL_STD.
        self.encoder = EfficientNetLiteEncoder(
            pretrained=pretrained, frozen_levels=frozen_levels, scales_image=False, in_channels=in_channels
        )
        self._out_features = list(RESNET_FEATURES)
        self._out_feature_channels = dict(zip(RESNET_FEATURES, CHANNELS[1:], strict=True))
        self._out_feature_strides = {name: 4 * 2**index for index, name in enumerate(RESNET_FEATURES)}

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return dict(zip(RESNET_FEATURES, self.encoder(image)[1:], strict=True))


@BACKBONE_REGISTRY.register()
def build_efficientnet_lite_fpn_backbone(cfg: CfgNode, input_shape: Any) -> nn.Module:
    """Build a feature pyramid on EfficientNet-Lite0; MODEL.WEIGHTS may be `IMAGENET`."""
    bottom_up = _EfficientNetLite(
        pretrained=cfg.MODEL.WEIGHTS == IMAGENET,
        frozen_levels=cfg.MODEL.BACKBONE.FREEZE_AT,
        in_channels=input_shape.channels,
    )
    return _feature_pyramid(cfg, bottom_up)


def _feature_pyramid(cfg: CfgNode, bottom_up: Backbone) -> FPN:
    return FPN(
        bottom_up,
        cfg.MODEL.FPN.IN_FEATURES,
        cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


def make_config(
    *,
    n_detection_classes: int,
    backbone_depth: int | None,
    backbone_width: int,
    pretrained: bool,
    anchor_sizes_px: Sequence[float],
    detections_per_image: int,
    score_threshold: float,
    yaml_file: str | None,
    overrides: Sequence[Any],
    in_channels: int = 3,
) -> CfgNode:
    """Layer Detectron2's config: these defaults, the user's YAML, the overrides, then what must hold.

    A YAML that names MODEL.BACKBONE.NAME, itself or through its `_BASE_`, describes a whole network, such as those of
    Detectron2's model zoo. It lies on Detectron2's own defaults for the architecture, so that published weights fit.
    Any other YAML is a delta to the defaults here.

    Raises:
        FileNotFoundError: no such YAML.
        ValueError: a config that is not a Mask R-CNN with a feature pyramid, or overrides that are not pairs.
    """
    path = None if yaml_file is None else _find_config(yaml_file)
    model = {} if path is None else (CfgNode.load_yaml_with_base(str(path)) or {}).get("MODEL", {})
    defaults = TASK_DEFAULTS | {
        "ANCHOR_GENERATOR.SIZES": [[size] for size in anchor_sizes_px],
        "ROI_HEADS.SCORE_THRESH_TEST": score_threshold,
        # An object can have a proposal of its own and one that is better placed.
        "RPN.PRE_NMS_TOPK_TEST": 4 * detections_per_image,
        "RPN.POST_NMS_TOPK_TEST": 2 * detections_per_image,
    }
    cfg = get_cfg()
    cfg.TEST.DETECTIONS_PER_IMAGE = detections_per_image
    if "NAME" not in model.get("BACKBONE", {}):
        defaults |= ARCHITECTURE_DEFAULTS
        if backbone_depth is None:
            defaults |= EFFICIENTNET_LITE
        else:
            is_basic = backbone_depth in BLOCKS_PER_STAGE
            defaults |= {
                "RESNETS.DEPTH": backbone_depth,
                "RESNETS.STEM_OUT_CHANNELS": backbone_width,
                "RESNETS.WIDTH_PER_GROUP": backbone_width,
                "RESNETS.RES2_OUT_CHANNELS": backbone_width if is_basic else 4 * backbone_width,
            }
        cfg.INPUT.FORMAT = "RGB"
    cfg.merge_from_list([part for key, value in defaults.items() for part in (f"MODEL.{key}", value)])
    if path is not None:
        # Not the default: it would run what Python code a YAML holds.
        cfg.merge_from_file(str(path), allow_unsafe=False)
    if len(overrides) % 2:
        raise ValueError(f"detectron2_overrides must be a flat list KEY, VALUE, ..., got {len(overrides)} entries")
    cfg.merge_from_list(list(overrides))
    if in_channels != len(cfg.MODEL.PIXEL_MEAN):  # Detectron2 counts channels by them
        for key in ("PIXEL_MEAN", "PIXEL_STD"):
            values = cfg.MODEL[key]
            cfg.MODEL[key] = [sum(values) / len(values)] * in_channels

    backbone = cfg.MODEL.BACKBONE.NAME
    is_lite = backbone == EFFICIENTNET_LITE["BACKBONE.NAME"]
    if pretrained and not is_lite:
        logger.warning("pretrained is for EfficientNet-Lite0: %s starts at random", backbone)
    cfg.MODEL.WEIGHTS = IMAGENET if pretrained and is_lite else ""
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = n_detection_classes
    cfg.MODEL.DEVICE = "cpu"
    _check_config(cfg, yaml_file)
    cfg.freeze()
    return cfg


def _find_config(name: str) -> Path:
    """Find a YAML by its path, or by its name among the configs that come with Detectron2."""
    packaged = Path(str(files("detectron2"))) / "model_zoo" / "configs" / name
    for path in (Path(name), packaged):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"detectron2_config {name} is neither a file nor one of Detectron2's own configs, such as "
        "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml"
    )


def _check_config(cfg: CfgNode, yaml_file: str | None) -> None:
    source = yaml_file or "detectron2_overrides"
    wanted = {
        "MODEL.META_ARCHITECTURE": ("GeneralizedRCNN",),
        "MODEL.MASK_ON": (True,),
        "MODEL.KEYPOINT_ON": (False,),
        "MODEL.LOAD_PROPOSALS": (False,),
        "INPUT.FORMAT": ("RGB", "BGR"),
        "VIS_PERIOD": (0,),
    }
    for key, allowed in wanted.items():
        value: Any = cfg
        for part in key.split("."):
            value = value[part]
        if value not in allowed:
            raise ValueError(
                f"{source}: {key} must be {' or '.join(map(str, allowed))} for a Mask R-CNN here, got {value}"
            )
    # Those of Detectron2 without a pyramid (C4, DC5) take the features of one stage.
    for key, levels in {"RPN": cfg.MODEL.RPN.IN_FEATURES, "ROI_HEADS": cfg.MODEL.ROI_HEADS.IN_FEATURES}.items():
        if not all(re.fullmatch(r"p\d", level) for level in levels):
            raise ValueError(
                f"{source}: MODEL.{key}.IN_FEATURES are {levels}, but here a Mask R-CNN has a feature pyramid, p2 to "
                "p6: take a config with FPN in its name"
            )


def _to_float32(module: nn.Module, inputs: Any, output: Any) -> Any:
    if isinstance(output, torch.Tensor):
        return output.float()
    return type(output)(_to_float32(module, inputs, part) for part in output)


def _check_finite(module: nn.Module, inputs: Any, output: Any) -> None:
    """Refuse in evaluation what Detectron2 passes over there: proposals that are not finite are none to it."""
    if not module.training and not torch.jit.is_tracing() and find_not_finite(output):
        raise NotFiniteError("the network gives values that are not finite")


def _features_to_float32(module: nn.Module, inputs: tuple[list[torch.Tensor], Any]) -> tuple[list[torch.Tensor], Any]:
    features, boxes = inputs
    return [level.float() for level in features], boxes


def _averaged_over(loss: str) -> str:
    """Name what a loss is a mean over: the images, or what one of the heads sees.

    >>> _averaged_over("loss_rpn_cls"), _averaged_over("loss_mask"), _averaged_over("loss_box_reg")
    ('images', 'mask_head', 'box_predictor')
    >>> _averaged_over("loss_cls_stage2")
    'box_predictor.2'
    """
    if loss.startswith("loss_rpn"):
        return "images"
    stage = re.search(r"_stage(\d+)$", loss)
    return "mask_head" if loss == "loss_mask" else f"box_predictor.{stage[1]}" if stage else "box_predictor"


class Detector(nn.Module):
    """Detectron2's `GeneralizedRCNN`, spoken to in tensors.

    What the networks in it give (objectness, scores, box deltas, masks) is cast to float32: under autocast, the losses
    and the arithmetic of boxes would lose precision in less. So are the features that are pooled within boxes, as
    Detectron2 brings the boxes to the type of the features: bfloat16 holds coordinates above 256 to 2 pixels only.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.cfg = cfg
        self.model = build_model(cfg)
        self._counts: dict[str, int] = {}  # of proposals and objects, that the heads saw last
        for name, module in self.model.named_modules():
            # A cascade has a list of box predictors.
            if re.search(r"(rpn_head|box_predictor(\.\d+)?|mask_head\.predictor)$", name):
                module.register_forward_hook(_to_float32)
            elif isinstance(module, ROIPooler):
                module.register_forward_pre_hook(_features_to_float32)
            if name.endswith("rpn_head"):
                module.register_forward_hook(_check_finite)
            if head := re.search(r"roi_heads\.(mask_head|box_predictor(?:\.\d+)?)$", name):
                module.register_forward_pre_hook(partial(self._count, head[1]))

    def load(self, weights: str) -> None:
        """Load a `.pth` or `.pkl`, or `detectron2://...`; layers of another shape are skipped with a warning.

        Raises:
            FileNotFoundError: no such file, or its hub cannot be reached.
            ValueError: a file that holds no weights, or none for a network like this.
        """
        if "://" not in weights and not Path(weights).is_file():
            raise FileNotFoundError(
                f"weights {weights} not found: give the path of a .pth or .pkl, or detectron2://..."
            )
        checkpointer = _Checkpointer(self.model)
        try:
            checkpointer.path_manager.get_local_path(weights)
        except Exception as error:  # the hub's client raises what it likes
            raise FileNotFoundError(
                f"weights {weights} could not be fetched ({error}): download them where there is a network, and give "
                "the path of the file"
            ) from error
        before = {name: value.clone() for name, value in self.model.state_dict().items()}
        try:
            checkpointer.load(weights)
        except Exception as error:  # each reader raises its own
            raise ValueError(
                f"weights {weights} could not be read as a checkpoint ({error}): give a .pth or .pkl of Detectron2"
            ) from error
        if all(torch.equal(value, before[name]) for name, value in self.model.state_dict().items()):
            raise ValueError(f"weights {weights} are of another architecture: none of its layers fits this network")

    def _count(self, head: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module.training:
            self._counts[head] = len(inputs[0])

    def losses(self, image: torch.Tensor, targets: Sequence[ObjectTargets]) -> dict[str, torch.Tensor]:
        """Return Detectron2's losses of images (B, 3, H, W), RGB in [0, 1].

        Of several processes, their mean is the loss of the images of all: each counts by its share of the images,
        proposals or objects that a loss is a mean over.
        """
        size = (image.shape[-2], image.shape[-1])
        inputs = [
            {
                "image": pixels,
                "instances": Instances(
                    size, gt_boxes=Boxes(target.boxes_xyxy), gt_classes=target.classes, gt_masks=BitMasks(target.masks)
                ),
            }
            for pixels, target in zip(self._scale(image), targets, strict=True)
        ]
        # Detectron2 logs into whatever storage is open and fails without. Nobody reads this one: a storage that lived
        # on would keep every value.
        with EventStorage():
            losses: dict[str, torch.Tensor] = self.model(inputs)
        if n_processes() == 1:
            return losses
        counts = {"images": len(image), **self._counts}
        own = torch.tensor([float(counts[_averaged_over(name)]) for name in losses], device=image.device)
        total = own.clone()
        dist.all_reduce(total)
        weights = n_processes() * own / total.clamp(min=1)
        return {name: weight * loss for weight, (name, loss) in zip(weights, losses.items(), strict=True)}

    def detect(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Find the objects of one image (1, 3, H, W).

        Returns:
            Boxes xyxy (N, 4) in pixels, scores (N,), classes (N,), masks (N, M, M); the highest score first.
        """
        inputs = [{"image": self._scale(image)[0]}]
        if torch.jit.is_tracing():
            with patch_builtin_len():
                found = self.model.inference(inputs, do_postprocess=False)[0]
        else:
            found = self.model.inference(inputs, do_postprocess=False)[0]
        return found.pred_boxes.tensor, found.scores, found.pred_classes, found.pred_masks[:, 0]

    def _scale(self, image: torch.Tensor) -> torch.Tensor:
        image = image.float() * 255
        return image if self.cfg.INPUT.FORMAT == "RGB" else image.flip(1)
