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
    many, few = bootstrap_interval(terms, reduce), bootstrap_interval(terms[:12], reduce)
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
    assert paired_bootstrap_difference(*repeated, mean_ratio, only_defined=True, least_groups=2) == pytest.approx(
        (-0.1, -0.1, -0.1)
    )
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


def width(interval):
    return interval.high - interval.low


@pytest.mark.parametrize("reduce", [mean_ratio, pooled_ratio])
def test_copies_within_groups_are_no_further_images(terms, reduce):
    """Each image three times, in one group: all sums of a draw are three times as large, and no ratio changes."""
    copies, names = terms.repeat_interleave(3, dim=0), [f"mosaic {number // 3}" for number in range(3 * len(terms))]
    as_groups = bootstrap_interval(copies, reduce, groups=names)
    assert as_groups == pytest.approx(bootstrap_interval(terms, reduce))
    assert width(bootstrap_interval(copies, reduce)) < 0.75 * width(as_groups)


@pytest.mark.parametrize("reduce", [mean_ratio, pooled_ratio])
def test_copies_within_groups_make_no_difference_surer(terms, reduce):
    copies, names = terms.repeat_interleave(2, dim=0), [str(number // 2) for number in range(2 * len(terms))]
    alone = paired_bootstrap_difference(terms, terms.flip(0), reduce)
    assert paired_bootstrap_difference(copies, copies.flip(0), reduce, groups=names) == pytest.approx(alone)


@pytest.mark.parametrize("groups", [None, [""] * 40, [f"image:{number}" for number in range(40)]])
def test_images_that_are_their_own_groups_are_drawn_as_without_groups(terms, groups):
    assert torch.equal(
        resampled_scores(terms, mean_ratio, groups=groups, resamples=50),
        resampled_scores(terms, mean_ratio, resamples=50),
    )


def test_all_images_of_a_drawn_group_come_and_no_other(terms):
    """Of groups of one, two and four images, two images apart in the list, and one that has no name."""
    names = ["a", "b", "c", "b", "c", "", "c", "c"]
    members = {"a": [0], "b": [1, 3], "c": [2, 4, 6, 7], "": [5]}
    drawn = torch.randint(4, (30, 4), generator=torch.Generator().manual_seed(2))
    order = list(dict.fromkeys(names))
    expected = [
        float(mean_ratio(torch.cat([terms[members[order[number]]] for number in groups]))) for groups in drawn.tolist()
    ]
    scores = resampled_scores(terms[: len(names)], mean_ratio, groups=names, resamples=30, seed=2)
    assert scores.tolist() == pytest.approx(expected)


def test_the_interval_of_two_groups_worked_by_hand():
    """Three images of 1 in one group, and one of 0: draws have the mean 1, 3 / 4 (half of them) or 0."""
    statistics = torch.tensor([[1.0], [1.0], [0.0], [1.0]])

    def mean(rows):
        return rows.mean(dim=(-1, -2))

    scores = resampled_scores(statistics, mean, groups=["m", "m", "", "m"], resamples=4000)
    values, counts = scores.unique(return_counts=True)
    assert values.tolist() == [0, 0.75, 1]
    assert (counts / 4000).tolist() == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert bootstrap_interval(statistics, mean, least_groups=2, groups=["m", "m", "", "m"]) == (0.75, 0, 1)


def test_one_group_has_a_score_and_no_interval(terms):
    interval = bootstrap_interval(terms, pooled_ratio, groups=["mosaic"] * len(terms))
    assert interval.value == bootstrap_interval(terms, pooled_ratio).value
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_groups_are_those_of_the_images_that_stay():
    """Two of the four images are undefined for one model: what is left is of one group, which has no interval."""
    first = torch.tensor([[0.9, 1.0], [0.5, 1.0], [0.0, 0.0], [0.0, 0.0]])
    second = torch.ones(4, 2)
    difference = paired_bootstrap_difference(first, second, mean_ratio, groups=["a", "a", "b", "c"], only_defined=True)
    assert difference.value == pytest.approx(-0.3)
    assert math.isnan(difference.low)


def test_groups_of_another_number_of_images_are_refused(terms):
    with pytest.raises(ValueError, match="one group an image, got 3 for 40 images"):
        bootstrap_interval(terms, mean_ratio, groups=["a", "b", "c"])


def test_below_ten_groups_there_is_no_interval():
    terms = torch.arange(20, dtype=torch.float64)[:, None]

    def mean(rows):
        return rows.mean(dim=(-1, -2))

    assert bootstrap_interval(terms[:10], mean).low < 4.5
    for few in (bootstrap_interval(terms[:9], mean), bootstrap_interval(terms, mean, groups=[*"abcdefghiabcdefghiab"])):
        assert math.isnan(few.low)
        assert math.isnan(few.high)
