"""A dense image is looked at region by region."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from medseg_ext.networks.mask_rcnn_regions import RegionwiseDetector


class Blobs(nn.Module):
    """A detector without a flaw, but for its limit: each blob of an image is an object, the largest first."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit, self.n_looks = limit, 0

    def forward(self, image):
        self.n_looks += 1
        labels, _ = ndimage.label(image[0, 0].numpy())
        slices = ndimage.find_objects(labels)
        boxes = [[columns.start, rows.start, columns.stop, rows.stop] for rows, columns in slices]
        boxes.sort(key=lambda box: (box[0] - box[2]) * (box[3] - box[1]))
        boxes_xyxy = torch.tensor(boxes[: self.limit], dtype=torch.float32).reshape(-1, 4)
        count = len(boxes_xyxy)
        return boxes_xyxy, torch.full((count,), 0.9), torch.zeros(count, dtype=torch.long), torch.ones(count, 4, 4)


def scattered_squares(height, width, *, spacing, seed=0):
    """Squares of 3 to 9 pixels, one in each cell of a grid."""
    rng = np.random.default_rng(seed)
    image, boxes = np.zeros((height, width), np.float32), []
    for row in range(0, height - spacing + 1, spacing):
        for column in range(0, width - spacing + 1, spacing):
            side = rng.integers(3, 10)
            top, left = row + rng.integers(spacing - side), column + rng.integers(spacing - side)
            image[top : top + side, left : left + side] = 1
            boxes.append((left, top, left + side, top + side))
    return torch.from_numpy(image)[None, None].expand(1, 3, -1, -1), set(boxes)


@pytest.mark.parametrize("limit", [50, 64, 300, 1000])
@pytest.mark.parametrize("size", [(200, 200), (130, 500)])
def test_every_object_comes_whatever_the_limit_of_one_look(limit, size):
    image, expected = scattered_squares(*size, spacing=12)
    look = Blobs(limit)
    boxes_xyxy, *others = RegionwiseDetector(look, limit)(image)
    assert {tuple(map(int, box)) for box in boxes_xyxy.tolist()} == expected
    assert all(len(other) == len(boxes_xyxy) for other in others)
    assert len(boxes_xyxy) <= 1.3 * len(expected)  # on the borders some come twice; painting leaves these out
    assert (look.n_looks == 1) == (limit > len(expected))


def test_unsure_detections_are_no_sign_of_more():
    image, _ = scattered_squares(200, 200, spacing=12)

    class Unsure(Blobs):
        def forward(self, image):
            boxes_xyxy, scores, *others = super().forward(image)
            return boxes_xyxy, scores.clone().index_fill_(0, torch.tensor([len(scores) - 1]), 0.1), *others

    look = Unsure(50)
    assert len(RegionwiseDetector(look, 50)(image)[0]) == 50
    assert look.n_looks == 1


def test_what_cannot_be_parted_is_told(caplog):
    image = torch.zeros(1, 3, 60, 60)
    image[:, :, ::2, ::2] = 1
    assert len(RegionwiseDetector(Blobs(100), 100)(image)[0]) >= 100
    assert "it holds more" in caplog.text
