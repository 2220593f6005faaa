"""InstanSeg (Goldsborough et al. 2024).

Its post-processing is left out: it asks a small network of its own about each pixel, which cannot be made of true
labels.
"""

from __future__ import annotations

import torch
from instanseg.utils.models.InstanSeg_UNet import InstanSeg_UNet

from benchmarks.peers.pixels import unit_images
from benchmarks.worker import Work


def network(megapixels: float, device: str = "cpu") -> Work:
    """Run the network of the published models of nuclei, random weights, on images as they are."""
    net = InstanSeg_UNet(3, [[2, 2, 1]], layers=[256, 128, 64, 32]).to(device).eval()
    pixels, total = unit_images(megapixels, multiple_of=32)
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].contiguous() for image in pixels]

    def run() -> None:
        with torch.inference_mode():
            for image in tensors:
                net(image.to(device)).cpu()

    return Work(run, total)
