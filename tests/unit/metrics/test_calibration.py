"""Scores are compared with how often objects are right; torchmetrics and a scalar search are the oracles."""

import json

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, logit
from torchmetrics.classification import BinaryCalibrationError

from medseg_ext.errors import DataError
from medseg_ext.files import CALIBRATION_FILE
from medseg_ext.metrics import (
    ScoreCalibration,
    brier_score,
    calibration_terms,
    compare_image,
    expected_calibration_error,
    fit_calibration,
    reliability_curve,
    which_are_right,
)


def objects(count: int, *, slope: float = 1.0, bias: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw float32 scores in (0, 1), and objects that are right as often as a map of them says."""
    rng = np.random.default_rng(seed)
    scores = expit(rng.normal(1.5, 1.5, count)).astype(np.float32)
    return scores, rng.random(count) < expit(slope * logit(scores.astype(float)) + bias)


@pytest.mark.parametrize("count", [1, 7, 300, 5000])
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_error_is_that_of_torchmetrics_however_objects_are_shared_among_images(count, bins):
    scores, is_right = map(torch.from_numpy, objects(count, slope=0.5, seed=count))
    expected = BinaryCalibrationError(n_bins=bins, norm="l1")(scores, is_right.long())
    parts = torch.tensor_split(torch.arange(count), [count // 3, count // 3, count // 2])  # one image is empty
    terms = torch.stack([calibration_terms(scores[part], is_right[part], bins=bins) for part in parts])
    assert float(expected_calibration_error(terms)) == pytest.approx(float(expected), abs=1e-5)  # it adds in float32
    assert float(brier_score(terms)) == pytest.approx(float(((scores - is_right.float()) ** 2).mean()), abs=1e-6)
    curve = reliability_curve(terms)
    assert sum(each.objects for each in curve) == count
    assert all(each.low - 1e-7 <= each.mean_score <= each.high + 1e-7 for each in curve)


def test_scores_of_0_and_1_and_of_edges_belong_to_one_bin_each():
    edges = torch.linspace(0, 1, 16, dtype=torch.float64)
    curve = reliability_curve(calibration_terms(edges, torch.ones(16, dtype=torch.bool))[None])
    assert [each.objects for each in curve] == [1] * 14 + [2]


def test_without_objects_nothing_is_defined():
    terms = calibration_terms(torch.zeros(0), torch.zeros(0, dtype=torch.bool))[None]
    assert torch.isnan(expected_calibration_error(terms))
    assert torch.isnan(brier_score(terms))
    assert reliability_curve(terms) == []


@pytest.mark.parametrize("scores", [[1.1], [-0.1], [float("nan")]])
def test_what_is_no_score_is_refused(scores):
    with pytest.raises(ValueError, match="scores must be in"):
        calibration_terms(torch.tensor(scores), torch.tensor([True]))


def test_right_are_the_objects_that_ap_50_matches():
    pred = torch.tensor([[1, 1, 0, 3, 3, 3, 2, 2]])
    true = torch.tensor([[4, 4, 4, 0, 0, 9, 9, 9]])
    comparison = compare_image(pred, true)
    assert which_are_right(comparison, 3).tolist() == [True, True, False]
    with pytest.raises(ValueError, match="expected a score for each of 3 objects, got 2 scores"):
        which_are_right(comparison, 2)


@pytest.mark.parametrize("with_bias", [True, False])
def test_the_fit_is_the_likeliest_map(with_bias):
    scores, is_right = objects(4000, slope=0.6, bias=-0.7 if with_bias else 0.0)
    logits = logit(scores.astype(float))

    def loss(parameters):
        moved = parameters[0] * logits + (parameters[1] if with_bias else 0)
        return np.mean(np.logaddexp(0, moved) - is_right * moved)

    slope, bias = minimize(loss, [1.0, 0.0], method="Nelder-Mead").x
    fitted = fit_calibration(scores, is_right, with_bias=with_bias)
    assert fitted.temperature == pytest.approx(1 / slope, abs=0.01)
    assert fitted.bias == (pytest.approx(bias, abs=0.01) if with_bias else 0)


def test_a_fit_calibrates_other_objects_of_the_same_kind():
    fitted = fit_calibration(*objects(3000, slope=0.5, bias=-0.5))
    scores, is_right = objects(3000, slope=0.5, bias=-0.5, seed=1)

    def error(values):
        return float(expected_calibration_error(calibration_terms(*map(torch.from_numpy, (values, is_right)))[None]))

    assert error(fitted(scores)) < 0.03 < 0.15 < error(scores)


@pytest.mark.parametrize(("temperature", "bias"), [(0.1, 3.0), (1.0, -4.0), (1.7, 0.0), (10.0, 5.0), (1.0, 0.0)])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_map_keeps_the_order_and_the_range_and_scores_of_0_and_1_are_no_nan(temperature, bias, kind):
    scores = np.array([0, 1e-45, 1e-9, 1e-4, 0.2, 0.5, 0.75, 0.9, 0.999, 1 - 1e-7, 1], dtype=kind)
    mapped = ScoreCalibration(temperature, bias)(scores)
    assert mapped.dtype == kind
    assert np.isfinite(mapped).all()
    assert (mapped >= 0).all()
    assert (mapped <= 1).all()
    assert (np.diff(mapped) >= 0).all()
    if (temperature, bias) == (1, 0):
        assert mapped.tobytes() == scores.tobytes()


@pytest.mark.parametrize("is_right", [True, False])
def test_a_fit_to_objects_that_are_all_right_or_all_wrong_is_finite(is_right):
    fitted = fit_calibration(np.linspace(0, 1, 200), np.full(200, is_right))
    mapped = fitted(np.linspace(0, 1, 200))
    assert abs(mapped.mean() - is_right) < 0.02


def test_few_objects_give_no_fit():
    scores, is_right = objects(99)
    assert fit_calibration(scores, is_right) is None


@pytest.mark.parametrize(("temperature", "bias"), [(0, 0), (-1, 0), (float("nan"), 0), (float("inf"), 0), (1, np.inf)])
def test_numbers_that_are_no_calibration_are_refused(temperature, bias):
    with pytest.raises(ValueError, match="must be"):
        ScoreCalibration(temperature, bias)


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    ScoreCalibration(1.5, -0.25).write(tmp_path, objects=300)
    assert ScoreCalibration.read(tmp_path) == ScoreCalibration(1.5, -0.25)
    assert json.loads((tmp_path / CALIBRATION_FILE).read_text())["objects"] == 300
    assert ScoreCalibration.read(tmp_path / "elsewhere") is None


@pytest.mark.parametrize("content", ["", "[]", '{"score_temperature": 1}', '{"score_temperature": 0, "score_bias": 0}'])
def test_a_broken_calibration_is_named(tmp_path, content):
    (tmp_path / CALIBRATION_FILE).write_text(content)
    with pytest.raises(DataError, match=rf"{CALIBRATION_FILE} is broken .*: remove it"):
        ScoreCalibration.read(tmp_path)
