"""Any label map is written, read back and compared without a loss."""

import json

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.optimize import linear_sum_assignment

from medseg_ext.datasets.coco import decode_coco_run_length
from medseg_ext.datasets.polygons import draw_polygons
from medseg_ext.metrics.matching import match_objects, pairwise_iou
from medseg_ext.metrics.overlap import label_overlaps
from medseg_ext.objects.coco import run_lengths
from medseg_ext.objects.outlined import outline_polygons

LABEL_MAPS = arrays.arrays(
    np.int32, st.tuples(st.integers(1, 24), st.integers(1, 24)), elements=st.integers(0, 4) | st.just(2**31 - 1)
)


def drawn(parts, shape):
    """Draw the parts of an object, bool (H, W)."""
    found, mask = draw_polygons(parts, shape), np.zeros(shape, bool)
    height, width = found.mask.shape
    mask[found.top : found.top + height, found.left : found.left + width] = found.mask
    return mask


@given(labels=LABEL_MAPS)
def test_outlines_hold_the_very_pixels_of_their_objects(labels):
    outlines = outline_polygons(labels)
    assert outlines.keys() == set(np.unique(labels[labels > 0]).tolist())
    for label, parts in json.loads(json.dumps(list(outlines.items()))):
        np.testing.assert_array_equal(drawn(parts, labels.shape), labels == label)


@given(labels=LABEL_MAPS)
def test_run_lengths_hold_the_very_pixels_of_their_objects(labels):
    for label, parts in outline_polygons(labels).items():
        code = run_lengths([ring for part in parts for ring in part], labels.shape)
        decoded = decode_coco_run_length({"counts": code.tolist(), "size": list(labels.shape)}, labels.shape)
        np.testing.assert_array_equal(decoded, labels == label)


@given(data=st.data(), true=LABEL_MAPS)
def test_iou_is_that_of_each_pair_of_masks_and_no_object_is_matched_twice(data, true):
    pred = data.draw(arrays.arrays(np.int32, true.shape, elements=st.integers(0, 4)))
    iou = pairwise_iou(torch.from_numpy(pred), torch.from_numpy(true)).numpy()
    pred_ids, true_ids = (np.unique(each[each > 0]) for each in (pred, true))
    assert iou.shape == (len(pred_ids), len(true_ids))
    for row, pred_id in enumerate(pred_ids):
        for column, true_id in enumerate(true_ids):
            one, other = pred == pred_id, true == true_id
            np.testing.assert_allclose(iou[row, column], (one & other).sum() / (one | other).sum(), rtol=1e-6)
    pairs = match_objects(label_overlaps(torch.from_numpy(pred), torch.from_numpy(true))).numpy()
    assert len(pairs) == (iou >= 0.5)[linear_sum_assignment(iou < 0.5)].sum()
    assert all(len(set(column)) == len(column) for column in pairs.T)
    assert (iou[tuple(pairs.T)] >= 0.5).all()
