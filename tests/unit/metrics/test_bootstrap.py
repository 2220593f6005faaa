import math

import pytest
import torch

from medseg_ext.metrics.bootstrap import Interval, bootstrap_interval, paired_bootstrap_difference, resampled_scores
from medseg_ext.metrics.ratios import mean_ratio, pooled_ratio


@pytest.fixture
def terms():
    """Intersections and unions of 40 images."""
    generator = torch.Generator().manual_seed(0)
    unions = torch.randint(50, 500, (40,), generator=generator).double()
    return torch.stack([unions * torch.rand(40, generator=generator, dtype=torch.float64), unions], dim=1)


@pytest.mark.parametrize("reduce", [mean_ratio, pooled_ratio])
def test_the_interval_contains_the_score_and_widens_with_fewer_images(terms, reduce):
    many, few = bootstrap_interval(terms, reduce), bootstrap_interval(terms[:8], reduce)
    assert many.low < many.value < many.high
    assert few.high - few.low > many.high - many.low


def test_the_interval_of_a_mean_is_that_of_the_central_limit_theorem(terms):
    ratios = terms[:, 0] / terms[:, 1]
    half_width = 1.96 * float(ratios.std(correction=0)) / math.sqrt(len(ratios))
    interval = bootstrap_interval(terms, mean_ratio, resamples=20_000)
    assert interval.value == pytest.approx(float(ratios.mean()))
    assert interval.low == pytest.approx(interval.value - half_width, abs=0.1 * half_width)
    assert interval.high == pytest.approx(interval.value + half_width, abs=0.1 * half_width)


@pytest.mark.parametrize("reduce", [mean_ratio, pooled_ratio])
def test_vectorised_resampling_equals_a_loop(terms, reduce, monkeypatch):
    monkeypatch.setattr("medseg_ext.metrics.bootstrap.CHUNK_ELEMENTS", 7 * terms.numel())
    vectorised = resampled_scores(terms, reduce, resamples=50, seed=3)
    images = torch.randint(40, (50, 40), generator=torch.Generator().manual_seed(3))
    loop = torch.stack([reduce(torch.stack([terms[image] for image in chosen])) for chosen in images])
    torch.testing.assert_close(vectorised, loop)


def test_the_seed_decides(terms):
    assert bootstrap_interval(terms, mean_ratio, seed=1) == bootstrap_interval(terms, mean_ratio, seed=1)
    assert bootstrap_interval(terms, mean_ratio, seed=1) != bootstrap_interval(terms, mean_ratio, seed=2)


def test_a_model_does_not_differ_from_itself(terms):
    assert paired_bootstrap_difference(terms, terms.clone(), pooled_ratio) == Interval(0.0, 0.0, 0.0)


def test_pairing_finds_a_small_difference_that_the_two_intervals_hide(terms):
    better = terms.clone()
    better[:, 0] += 0.02 * better[:, 1]
    difference = paired_bootstrap_difference(better, terms, mean_ratio)
    assert difference == pytest.approx((0.02, 0.02, 0.02))
    assert bootstrap_interval(better, mean_ratio).low < bootstrap_interval(terms, mean_ratio).high


def test_swapping_the_models_turns_the_difference_round(terms):
    other = terms.flip(0)
    forth = paired_bootstrap_difference(terms, other, pooled_ratio)
    back = paired_bootstrap_difference(other, terms, pooled_ratio)
    assert forth == pytest.approx((-back.value, -back.high, -back.low))


def test_a_mean_over_images_is_compared_over_those_defined_for_both():
    # ratios .9 and undefined, against 1 and .6: only the first image tells of both
    first, second = torch.tensor([[0.9, 1.0], [0.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.6, 1.0]])
    assert paired_bootstrap_difference(first, second, mean_ratio).value == pytest.approx(0.1)
    assert paired_bootstrap_difference(first, second, mean_ratio, only_defined=True).value == pytest.approx(-0.1)
    repeated = [rows.repeat(5, 1) for rows in (first, second)]
    assert paired_bootstrap_difference(*repeated, mean_ratio, only_defined=True) == pytest.approx((-0.1, -0.1, -0.1))
    nothing_shared = paired_bootstrap_difference(first, first.flip(0), mean_ratio, only_defined=True)
    assert all(math.isnan(number) for number in nothing_shared)


def test_one_image_has_a_score_and_no_interval(terms):
    interval = bootstrap_interval(terms[:1], mean_ratio)
    assert interval.value == pytest.approx(float(terms[0, 0] / terms[0, 1]))
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_no_image_has_no_score(terms):
    assert all(math.isnan(number) for number in bootstrap_interval(terms[:0], pooled_ratio))


def test_undefined_images_are_left_out(terms):
    with_undefined = torch.cat([terms, torch.zeros(3, 2)])
    assert bootstrap_interval(with_undefined, mean_ratio).value == bootstrap_interval(terms, mean_ratio).value
    assert not any(math.isnan(number) for number in bootstrap_interval(with_undefined, mean_ratio))


def test_a_difference_from_a_model_without_scores_is_the_interval_of_the_score_itself(terms):
    """Options of both mean the same: a mean minus 0 is the mean, whatever the images drawn."""
    nothing = torch.stack([torch.zeros(len(terms)), terms[:, 1]], dim=1)
    options = {"level": 0.6, "resamples": 70, "seed": 5}
    alone = bootstrap_interval(terms, mean_ratio, **options)
    assert paired_bootstrap_difference(terms, nothing, mean_ratio, **options) == pytest.approx(alone)
    for option in ({"level": 0.95}, {"resamples": 200}, {"seed": 6}):
        assert bootstrap_interval(terms, mean_ratio, **options | option) != alone


@pytest.mark.parametrize(
    ("option", "message"),
    [({"level": level}, "level") for level in (0, 1, 95)] + [({"resamples": 0}, "resamples")],
)
def test_impossible_options_are_refused(terms, option, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(terms, mean_ratio, **option)


def test_models_scored_on_different_images_are_refused(terms):
    with pytest.raises(ValueError, match=r"got \(40, 2\) and \(39, 2\)"):
        paired_bootstrap_difference(terms, terms[1:], mean_ratio)
