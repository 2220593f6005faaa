"""A batch that several processes share gives the loss and the gradients that it gives in one."""

import pytest
import torch
from monai.losses import DiceCELoss
from process_groups import run_joined
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from medseg_ext.losses.semantic import ClassesAndDistanceLoss
from medseg_ext.losses.whole_batch import LossOfWholeBatch
from medseg_ext.networks.mask_rcnn import MaskRCNN
from medseg_ext.networks.stochastic_depth import StochasticDepth, WholeBatchDraws
from medseg_ext.networks.synchronised_norms import synchronise_batch_norms

ROWS = {0: slice(0, 2), 1: slice(2, 5)}  # of a batch of 5, which two processes cannot share evenly


class TwoHeads(nn.Module):
    """Batch norms, a frozen one among them, stochastic depth, and two heads, as deep supervision has."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.frozen = nn.BatchNorm2d(8).eval().requires_grad_(False)
        self.branch = nn.Sequential(nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8, momentum=0.3), StochasticDepth(0.5))
        self.heads = nn.ModuleList([nn.Conv2d(8, 3, 1), nn.Conv2d(8, 3, 3, padding=1)])

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        features = self.frozen(self.first(image))
        features = features + self.branch(features)
        return [head(features) for head in self.heads]


class SumOverHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        dice = DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
        self.loss = ClassesAndDistanceLoss(classes=dice, distance=nn.BCEWithLogitsLoss(), distance_weight=2)

    def forward(self, heads: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        return self.loss(heads[0], target) + 0.5 * self.loss(heads[1], target)


def a_batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(5, 3, 12, 14, generator=generator) * torch.arange(1, 6).view(-1, 1, 1, 1)
    classes = (torch.rand(5, 1, 10, 12, generator=generator) > 0.8).float()
    return images, torch.cat([classes, torch.rand(5, 1, 10, 12, generator=generator)], dim=1)


def step(network: nn.Module, loss: nn.Module, rows: slice = slice(0, 5)) -> dict[str, torch.Tensor]:
    images, target = (each[rows] for each in a_batch())
    bare = network.module if isinstance(network, DistributedDataParallel) else network
    bare.branch[2].draws = WholeBatchDraws(rows.start, rows.stop, 5, torch.Generator().manual_seed(2))
    value = loss(network(images), target)
    value.backward()
    gradients = {f"gradient of {name}": each.grad for name, each in bare.named_parameters() if each.grad is not None}
    return {"loss": value.detach(), **gradients, **bare.state_dict()}


def _step_of_share(rank: int, folder: str) -> None:
    network = DistributedDataParallel(synchronise_batch_norms(TwoHeads()), broadcast_buffers=False)
    torch.save(step(network, LossOfWholeBatch(SumOverHeads()), ROWS[rank]), f"{folder}/{rank}.pt")


def test_processes_that_share_a_batch_take_the_step_of_one(tmp_path):
    run_joined(_step_of_share, str(tmp_path))
    alone = step(TwoHeads(), SumOverHeads())
    for rank in ROWS:
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), alone, atol=1e-6, rtol=1e-5)


def a_detector() -> MaskRCNN:
    """A small one that learns from all anchors and proposals, of which it draws none at random."""
    torch.manual_seed(0)
    overrides = [
        "MODEL.FPN.OUT_CHANNELS", 32, "MODEL.ROI_BOX_HEAD.FC_DIM", 16, "MODEL.ROI_MASK_HEAD.CONV_DIM", 32,
        "MODEL.ROI_MASK_HEAD.NUM_CONV", 1, "MODEL.RPN.BATCH_SIZE_PER_IMAGE", 100_000,
        "MODEL.RPN.POSITIVE_FRACTION", 1.0, "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 100_000,
        "MODEL.ROI_HEADS.POSITIVE_FRACTION", 1.0,
    ]  # fmt: skip
    return MaskRCNN(
        ("background", "nucleus"), backbone_depth=18, backbone_width=8, detectron2_overrides=overrides
    ).train()


def detector_step(network: nn.Module, rows: slice = slice(0, 5)) -> dict[str, torch.Tensor]:
    """Images with 0 to 4 objects."""
    label = torch.zeros(5, 2, 64, 64, dtype=torch.int32)
    for image in range(5):
        for number in range(image):
            label[image, :, 14 * number + 2 : 14 * number + 14, 5 : 15 + 5 * number] = 1
            label[image, 0] *= torch.where(label[image, 0] == 1, number + 1, 1)
    images = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(1)) + label[:, 1:].float()
    losses = network(images[rows], label[rows])
    sum(losses.values()).backward()
    return {**losses, **{name.removeprefix("module."): each.grad for name, each in network.named_parameters()}}


def _detector_step_of_share(rank: int, folder: str) -> None:
    network = DistributedDataParallel(synchronise_batch_norms(a_detector()), broadcast_buffers=False)
    torch.save(detector_step(network, ROWS[rank]), f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_detectors_that_share_a_batch_take_the_step_of_one(tmp_path):
    """Images count by their objects and proposals: the mean over processes of each loss is that of all images."""
    pytest.importorskip("detectron2")
    run_joined(_detector_step_of_share, str(tmp_path))
    alone = detector_step(a_detector())
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in ROWS)
    assert first["loss_mask"] != second["loss_mask"]
    for name, value in alone.items():
        mean = (first[name] + second[name]) / 2
        torch.testing.assert_close(mean, value, atol=1e-5, rtol=1e-4, msg=name)
