"""Objects out of what a network gives, without the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.aims import Faster
from benchmarks.rows import OURS, PEERS, Contender, Row
from benchmarks.scenes import OBJECTS, SIDE_PX, crowd
from benchmarks.worker import Work

SURE = 8.0  # logit of a network that is right

ROWS = [
    Row(
        "decode",
        f"Decoding of {OBJECTS} touching nuclei in {SIDE_PX} x {SIDE_PX}",
        [
            Contender(OURS, "benchmarks.decoding:ours"),
            Contender("scikit-image", "benchmarks.decoding:scikit_image"),
            Contender("StarDist", "benchmarks.peers.stardist:decoding", {}, PEERS),
            Contender("Cellpose 3", "benchmarks.peers.cellpose:decoding", {}, PEERS),
        ],
        [Faster("scikit-image", 2)],
        seconds=40,
        left_out="Each decodes what its own network would give, were it right: logits and centre distances (ours, "
        "scikit-image), distances along rays, flows. scikit-image's recipe is that of its documentation (peaks of the "
        "distance, watershed), with filled holes, least area, scores and classes as ours. InstanSeg's needs a trained "
        "network. True maps have no noise, which would cost ours and scikit-image more.",
    ),
]


def ours() -> Work:
    """Decode as the bundles do."""
    from medseg_ext.objects import decode_semantic

    logits = true_logits()

    def decode() -> int:
        return int(decode_semantic(logits).instances.max())

    return Work(_checked(decode))


def scikit_image() -> Work:
    """Decode by the recipe of scikit-image's documentation, "Watershed segmentation"."""
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian
    from skimage.measure import label, regionprops_table
    from skimage.morphology import remove_small_holes, remove_small_objects
    from skimage.segmentation import watershed

    logits = true_logits()

    def decode() -> int:
        probabilities = torch.softmax(logits[:-1], dim=0).numpy()
        probability = 1 - probabilities[0]
        foreground = remove_small_holes(remove_small_objects(probability >= 0.5, max_size=15), max_size=15)
        distance = gaussian(torch.sigmoid(logits[-1]).numpy(), sigma=1)
        peaks = peak_local_max(distance, footprint=np.ones((3, 3)), labels=label(foreground))
        seeds = np.zeros(distance.shape, dtype=bool)
        seeds[tuple(peaks.T)] = True
        instances = watershed(-distance, label(seeds), mask=foreground)
        scores = regionprops_table(instances, probability, properties=("intensity_mean",))["intensity_mean"]
        classes = (probabilities[1:].argmax(axis=0) + 1) * (instances > 0)
        assert classes.max() == 1
        return len(scores)

    return Work(_checked(decode))


def true_logits() -> torch.Tensor:
    """Give what a network of two classes would give, were it right: float32 (3, SIDE_PX, SIDE_PX)."""
    from medseg_ext.transforms import centre_distances

    labels = crowd()
    foreground = torch.from_numpy(labels > 0).float() * 2 * SURE - SURE
    distance = torch.logit(torch.from_numpy(centre_distances(labels)), eps=1e-4)
    return torch.stack([-foreground, foreground, distance])


def _checked(decode: Callable[[], int]) -> Callable[[], int]:
    if (found := decode()) != OBJECTS:
        raise AssertionError(f"expected {OBJECTS} objects, got {found}: the times would mean nothing")
    return decode
