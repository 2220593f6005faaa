"""Cellpose 3 (Stringer and Pachitariu 2025), whose networks are those of Cellpose 1 and 2."""

from __future__ import annotations

import numpy as np
import torch
from cellpose.core import run_net
from cellpose.dynamics import compute_masks, labels_to_flows
from cellpose.resnet_torch import CPnet

from benchmarks.peers.pixels import unit_images
from benchmarks.scenes import OBJECTS, crowd
from benchmarks.worker import Work


def network(megapixels: float, device: str = "cpu") -> Work:
    """Run the network of the published models, random weights, tile by tile as Cellpose does, on images as they are."""
    net = CPnet([2, 32, 64, 128, 256], nout=3, sz=3, mkldnn=False).to(device).eval()
    pixels, total = unit_images(megapixels)

    def run() -> None:
        for image in pixels:
            run_net(net, image[None, ..., :2])

    return Work(run, total)


def decoding() -> Work:
    """Follow the flows of the true labels, and make masks of where they end, as Cellpose does by default."""
    _, inside, *flows = labels_to_flows([crowd().astype(np.uint16)], device=torch.device("cpu"))[0]
    probability = np.where(inside, 6.0, -6.0).astype(np.float32)  # logit
    flow = 5 * np.stack(flows).astype(np.float32)  # as the network scales it

    def decode() -> int:
        return int(compute_masks(flow, probability, niter=200, min_size=15).max())

    if (number := decode()) != OBJECTS:
        raise AssertionError(f"expected {OBJECTS} objects, got {number}")
    return Work(decode)
