"""Outline the predicted beside the true objects of an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.segmentation import find_boundaries
from skimage.transform import rescale

from medseg_ext.files import write_atomically
from medseg_ext.images.composite import as_rgb
from medseg_ext.images.png import encode_png
from medseg_ext.runs.run_folder import picture_path

# Mint, vermilion and magenta: apart for the colour-blind, and on dark fluorescence as on stained tissue.
MATCHED, MISSED, SPURIOUS = (0, 255, 180), (220, 60, 0), (255, 0, 255)
GAP_PX = 8
LEGEND = {
    "found (IoU at least 0.5)": MATCHED,
    "missed, or found too badly: its true outline": MISSED,
    "predicted where nothing matches": SPURIOUS,
}


def draw_found_and_missed(
    image: NDArray[np.floating],
    pred_instances: NDArray[np.integer],
    true_instances: NDArray[np.integer],
    *,
    matched_pred: NDArray[np.integer],
    matched_true: NDArray[np.integer],
    panel_px: int = 480,
) -> NDArray[np.uint8]:
    """Draw three panels: the image; the true objects, found or missed; the predicted ones, right or spurious.

    Args:
        image: RGB (H, W, 3) in [0, 1].
        pred_instances: label map (H, W).
        true_instances: label map (H, W).
        matched_pred: ids of predicted objects with a match.
        matched_true: ids of true objects with a match.
        panel_px: length of the longer side of each panel; the image is enlarged or reduced to it.

    Returns:
        uint8 RGB; the colours are those of `LEGEND`.
    """
    scale = panel_px / max(image.shape[:2])
    picture = _resize(_stretch(image), scale)
    panels = [picture]
    for instances, matched, other in (
        (true_instances, matched_true, MISSED),
        (pred_instances, matched_pred, SPURIOUS),
    ):
        panels.append(_outline(picture, _resize_labels(instances, picture.shape[:2]), matched, other))
    gap = np.full((picture.shape[0], GAP_PX, 3), 255, dtype=np.uint8)
    return np.concatenate([panels[0], gap, panels[1], gap, panels[2]], axis=1)


def write_found_and_missed(
    folder: Path,
    image_id: str,
    image: NDArray[np.floating],
    pred_instances: NDArray[np.integer],
    true_instances: NDArray[np.integer],
    *,
    matched_pred: NDArray[np.integer],
    matched_true: NDArray[np.integer],
) -> None:
    """Write the picture of `draw_found_and_missed`, whose other arguments these are, into the folder of a run."""
    path = picture_path(folder, image_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = draw_found_and_missed(
        image, pred_instances, true_instances, matched_pred=matched_pred, matched_true=matched_true
    )
    write_atomically(path, encode_png(picture), temporary_in=folder, at_once=False)


def _stretch(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Stretch the contrast for the eye: dim fluorescence would be black on a screen; channels are shown in colours."""
    if image.shape[2] != 3:
        low, high = np.percentile(image, (0.1, 99.8), axis=(0, 1))
        return (as_rgb(((image - low) / np.maximum(high - low, 1e-6)).clip(0, 1)) * 255).astype(np.uint8)
    low, high = np.percentile(image, (0.1, 99.8))
    return (np.clip((image - low) / max(high - low, 1e-6), 0, 1) * 255).astype(np.uint8)


def _resize(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    if scale == 1:
        return picture
    resized = rescale(picture / 255.0, scale, channel_axis=-1, anti_aliasing=scale < 1, order=1)
    return (np.clip(resized, 0, 1) * 255).astype(np.uint8)


def _resize_labels(instances: NDArray[np.integer], shape: tuple[int, int]) -> NDArray[np.integer]:
    rows = (np.arange(shape[0]) + 0.5) * instances.shape[0] / shape[0]
    columns = (np.arange(shape[1]) + 0.5) * instances.shape[1] / shape[1]
    return instances[rows.astype(int)[:, None], columns.astype(int)[None, :]]


def _outline(
    picture: NDArray[np.uint8],
    instances: NDArray[np.integer],
    matched: NDArray[np.integer],
    other: tuple[int, int, int],
) -> NDArray[np.uint8]:
    outlined = picture.copy()
    lines = find_boundaries(instances, mode="inner")
    is_matched = np.isin(instances, matched)
    outlined[lines & is_matched] = MATCHED
    outlined[lines & ~is_matched] = other
    return outlined
