"""StarDist (Schmidt et al. 2018), of TensorFlow."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from stardist import edt_prob, star_dist
from stardist.matching import matching as stardist_matching
from stardist.models import Config2D, StarDist2D

from benchmarks.peers.pixels import unit_images
from benchmarks.scenes import OBJECTS, SCORED_OBJECTS, SCORED_SHIFT_PX, SCORED_SIDE_PX, crowd
from benchmarks.worker import Work

N_RAYS, GRID = 32, (2, 2)  # of the published models 2D_versatile_fluo and 2D_versatile_he


def network(megapixels: float, device: str = "cpu") -> Work:
    """Run the network of a published model, random weights, on images as they are."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    if device != "cpu" and not tf.config.list_physical_devices("GPU"):
        raise RuntimeError("TensorFlow finds no GPU")
    model = _model()
    step = 2**model.config.unet_n_depth * GRID[0]
    pixels, total = unit_images(megapixels, multiple_of=step)
    # A compiled graph, which is faster than the `predict` that StarDist calls.
    run = tf.function(lambda image: model.keras_model(image, training=False), reduce_retracing=True)
    return Work(lambda: _run(run, pixels), total)


def _run(run: tf.types.experimental.PolymorphicFunction, pixels: list[np.ndarray]) -> None:
    for image in pixels:
        for output in run(tf.constant(image[None])):
            output.numpy()


def decoding() -> Work:
    """Choose among the polygons of the true labels, of which there is one at every second pixel, and draw them."""
    model = _model()
    labels = crowd()
    every = tuple(slice(None, None, step) for step in GRID)
    probability = edt_prob(labels)[every]
    distances = np.maximum(star_dist(labels, N_RAYS, mode="cpp", grid=GRID), 1e-3)

    def decode() -> int:
        found, _ = model._instances_from_prediction(
            labels.shape, probability, distances, prob_thresh=0.5, nms_thresh=0.4
        )
        return int(found.max())

    if (number := decode()) != OBJECTS:
        raise AssertionError(f"expected {OBJECTS} objects, got {number}")
    return Work(decode)


def matching() -> Work:
    """Score many objects at an IoU of 0.5."""
    pred = crowd(SCORED_SIDE_PX, SCORED_OBJECTS, shift_px=SCORED_SHIFT_PX)
    true = crowd(SCORED_SIDE_PX, SCORED_OBJECTS)
    stardist_matching(true[:64, :64], pred[:64, :64])  # compiled by the first call
    return Work(lambda: float(stardist_matching(true, pred, thresh=0.5).accuracy))


def _model() -> StarDist2D:
    return StarDist2D(Config2D(n_rays=N_RAYS, grid=GRID, n_channel_in=3), name=None, basedir=None)
