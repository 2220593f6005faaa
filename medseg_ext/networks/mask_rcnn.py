"""Mask R-CNN of Detectron2 as a network that gives one dense tensor."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import torch
from monai.data import MetaTensor
from torch import nn

from medseg_ext.networks.mask_rcnn_dense import dense_detections
from medseg_ext.networks.mask_rcnn_regions import RegionwiseDetector
from medseg_ext.networks.mask_rcnn_targets import targets_of_label


class MaskRCNN(nn.Module):
    """Mask R-CNN: losses in training, objects painted into a dense tensor in evaluation.

    With two classes (background, object) it detects objects. With three (background, outer, inner, such as cytoplasm
    and nucleus) it detects whole objects, which are the pixels of an id, and their inner parts, which are those of its
    pixels that have the last class.

    The config of Detectron2 is layered: the defaults of the keyword options; `detectron2_config`;
    `detectron2_overrides`. A YAML that names MODEL.BACKBONE.NAME, as those of Detectron2's model zoo do, describes the
    whole architecture: then `backbone_depth`, `backbone_width` and the norms of this class don't apply.

    Args:
        class_names: classes of the class map, background first; 2 or 3.
        backbone_depth: a ResNet of 18, 34, 50, 101 or 152 layers; None takes EfficientNet-Lite0.
        backbone_width: channels of a ResNet's first stage (of its bottlenecks from 50 layers on); 64 is a full one.
        pretrained: EfficientNet-Lite0 starts from the weights of ImageNet; a ResNet has its `weights`, and warns.
        detectron2_config: a YAML file of Detectron2, or the name of one that comes with it, such as
            `COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml`; one with a feature pyramid. Its MODEL.WEIGHTS are
            not loaded.
        in_channels: of the image; those that are not RGB share the mean of the settings of red, green and blue.
        detectron2_overrides: KEY, VALUE, ... such as `["MODEL.RPN.NMS_THRESH", 0.8]`.
        weights: a `.pth` or `.pkl`, or `detectron2://...`. Layers of another shape, such as those that tell classes,
            are skipped with a warning. A `.pkl` can run code: load only what you trust.
        anchor_sizes_px: side of the anchors on each of the five levels of the pyramid, in pixels. Those of a YAML that
            names its own win, as does its own score threshold.
        detections_per_image: most detections in one look, of both kinds together; an image that holds more is looked at
            region by region (`RegionwiseDetector`).
        score_threshold: detections that score less are left out.
        inner_score_threshold: likewise for inner parts.
        mask_threshold: pixels that an object's mask holds with less probability are not the object's, in (0, 1).
        min_object_area_px: smaller remains of objects are not learnt.
    Shapes:
        In training: image float (B, 3, H, W), RGB in [0, 1]; label integer (B, 2, H, W): label map, class map.
        Returns `loss_rpn_cls`, `loss_rpn_loc`, `loss_cls`, `loss_box_reg`, `loss_mask`, float32 scalars.
        In evaluation: float32 (B, 1 + classes, H, W), see `dense_detections`, for any H and W.

    Raises:
        ImportError: Detectron2 is not installed.
        ValueError: options that do not fit.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        *,
        backbone_depth: int | None = None,
        backbone_width: int = 48,
        pretrained: bool = False,
        detectron2_config: str | None = None,
        detectron2_overrides: Sequence[Any] = (),
        weights: str | None = None,
        anchor_sizes_px: Sequence[float] = (8, 16, 32, 64, 128),
        detections_per_image: int = 500,
        score_threshold: float = 0.05,
        inner_score_threshold: float = 0.5,
        mask_threshold: float = 0.5,
        min_object_area_px: float = 10,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if len(class_names) not in (2, 3):
            raise ValueError(
                "class_names must be background and object, or background, outer and inner part of an object; got "
                f"{list(class_names)}"
            )
        if len(anchor_sizes_px) != 5:
            raise ValueError(f"anchor_sizes_px must be five, one a level of the pyramid, got {list(anchor_sizes_px)}")
        if backbone_depth not in (None, 18, 34, 50, 101, 152):
            raise ValueError(f"backbone_depth must be 18, 34, 50, 101, 152 or None, got {backbone_depth}")
        if not 0 < mask_threshold < 1:
            raise ValueError(f"mask_threshold must be between 0 and 1, got {mask_threshold}")
        try:
            from medseg_ext.networks.mask_rcnn_detectron2 import Detector, make_config
        except ImportError as error:
            raise ImportError(
                f"The Mask R-CNN bundles need Detectron2 ({error}). Install it with `make detectron2`, or with "
                "`bash tools/install_detectron2.sh PYTHON` into another environment."
            ) from error
        self.class_names = tuple(class_names)
        self.in_channels = in_channels
        self.inner_score_threshold = inner_score_threshold
        self.mask_threshold = float(mask_threshold)
        self.min_object_area_px = min_object_area_px
        config = make_config(
            n_detection_classes=len(class_names) - 1,
            backbone_depth=backbone_depth,
            backbone_width=backbone_width,
            pretrained=pretrained,
            anchor_sizes_px=anchor_sizes_px,
            detections_per_image=detections_per_image,
            score_threshold=score_threshold,
            yaml_file=detectron2_config,
            overrides=detectron2_overrides,
            in_channels=in_channels,
        )
        try:
            self.detector = Detector(config)
        except (AssertionError, AttributeError, KeyError) as error:
            source = detectron2_config or list(detectron2_overrides)
            raise ValueError(
                f"Detectron2 cannot build a Mask R-CNN of {source} ({error!r}): "
                "the config must be one with a feature pyramid, such as those with FPN in their names"
            ) from error
        if weights is not None:
            self.detector.load(weights)

    def forward(self, image: torch.Tensor, label: torch.Tensor | None = None) -> torch.Tensor | dict[str, torch.Tensor]:
        """Return the losses in training, the dense tensor in evaluation (where a label changes nothing)."""
        if isinstance(image, MetaTensor):
            image = image.as_tensor()
        if not self.training:
            with torch.no_grad():
                return self._detect(image)
        if label is None:
            raise ValueError("in training, MaskRCNN needs the label: call network(image, label), or network.eval()")
        if isinstance(label, MetaTensor):
            label = label.as_tensor()
        if label.ndim != 4 or label.shape[:2] != (image.shape[0], 2) or label.shape[2:] != image.shape[2:]:
            raise ValueError(
                f"label must have shape (B, 2, H, W) as the image's {tuple(image.shape)}, got {tuple(label.shape)}"
            )
        targets = [
            targets_of_label(
                one,
                n_detection_classes=len(self.class_names) - 1,
                min_object_area_px=self.min_object_area_px,
            )
            for one in label.to(image.device)
        ]
        return self.detector.losses(image, targets)

    def _detect(self, image: torch.Tensor) -> torch.Tensor:
        return self._painter(_Look(self))(image)

    def _painter(self, look: nn.Module) -> _EachImage:
        detector = RegionwiseDetector(look, int(self.detector.cfg.TEST.DETECTIONS_PER_IMAGE))
        return _EachImage(detector, len(self.class_names), float(self.inner_score_threshold), self.mask_threshold)

    def __prepare_scriptable__(self) -> nn.Module:
        """Stand in for this network in `torch.jit.script`, which cannot compile Detectron2: trace what it computes."""
        device = next(self.parameters()).device
        # Noise rather than a constant: the trace then also runs through detections.
        example = torch.rand(1, self.in_channels, 256, 256, generator=torch.Generator().manual_seed(0)).to(device)
        with warnings.catch_warnings(), torch.no_grad():
            # Detectron2 asserts a lot; in a trace each assertion is a constant, which is the warning.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            return self._painter(torch.jit.trace(_Look(deepcopy(self).eval()), example, check_trace=False))


class _Look(nn.Module):
    """What is traced: a trace holds for one size of batch only."""

    def __init__(self, network: MaskRCNN) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.network.detector.detect(image)


class _EachImage(nn.Module):
    """What is scripted: one by one, so that an image's objects don't depend on its batch."""

    def __init__(
        self, detector: RegionwiseDetector, n_classes: int, inner_score_threshold: float, mask_threshold: float
    ) -> None:
        super().__init__()
        self.detector = detector
        self.n_classes = n_classes
        self.inner_score_threshold = inner_score_threshold
        self.mask_threshold = mask_threshold

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        outputs = []
        for index in range(image.shape[0]):
            one = image[index : index + 1]
            boxes_xyxy, scores, classes, masks = self.detector(one)
            outputs.append(
                dense_detections(
                    boxes_xyxy,
                    scores,
                    classes,
                    masks,
                    one,
                    self.n_classes,
                    self.inner_score_threshold,
                    self.mask_threshold,
                )
            )
        return torch.cat(outputs)
