import json
import math

import pytest
from metric_cases import empty, scene, square
from metric_scenes import SCENES

from medseg_ext.metrics.bootstrap import bootstrap_interval, paired_bootstrap_difference
from medseg_ext.metrics.definitions import metrics_for
from medseg_ext.metrics.image_comparison import compare_image
from medseg_ext.metrics.summary import (
    image_statistics,
    per_image_values,
    stack_statistics,
    summarise,
    summarise_difference,
)

DEFINITIONS = metrics_for()


def statistics_of(*pairs):
    return stack_statistics([image_statistics(compare_image(*pair), DEFINITIONS) for pair in pairs])


@pytest.fixture(scope="module")
def statistics():
    return statistics_of(*(scene(name) for name in SCENES))


def test_a_summary_is_plain_numbers(statistics):
    summary = summarise(statistics, DEFINITIONS, resamples=50)
    assert json.loads(json.dumps(summary)) == summary
    assert list(summary) == list(DEFINITIONS)


def test_a_summary_agrees_with_its_parts(statistics):
    entry = summarise(statistics, DEFINITIONS, resamples=50, seed=1)["map"]
    interval = bootstrap_interval(statistics["map"], DEFINITIONS["map"].reduce, resamples=50, seed=1)
    assert (entry["value"], *entry["interval_95"]) == interval
    assert entry["images"] == len(SCENES)


def test_images_left_out_are_counted():
    summary = summarise(statistics_of((square(), square()), (empty(), empty())), DEFINITIONS, resamples=10)
    assert (summary["pq"]["images"], summary["pq"]["images_left_out"]) == (1, 1)
    assert (summary["foreground_iou"]["images"], summary["foreground_iou"]["images_left_out"]) == (2, 0)


def test_the_mean_of_the_images_values_is_the_averaged_score(statistics):
    values = per_image_values(statistics, DEFINITIONS)
    for name in ("foreground_iou", "dice", "map_per_image", "pq", "sq", "rq", "aji_per_image"):
        assert float(values[name].nanmean()) == pytest.approx(float(DEFINITIONS[name].reduce(statistics[name]))), name


def test_an_image_without_objects_has_undefined_values():
    values = per_image_values(statistics_of((empty(), empty())), DEFINITIONS)
    assert values["foreground_iou"].tolist() == [1]
    assert math.isnan(values["pq"])


def test_a_model_does_not_differ_from_itself(statistics):
    for entry in summarise_difference(statistics, statistics, DEFINITIONS, resamples=20).values():
        assert [entry["difference"], *entry["interval_95"]] == [0, 0, 0]


def test_means_are_compared_over_the_images_defined_for_both_models_and_pools_over_all():
    """Both find the one square. In an empty image the one finds nothing, and the other a square: 0 / 0 and 0 / 1."""
    one = statistics_of((square(), square()), (empty(), empty()))
    other = statistics_of((square(), square()), (square(), empty()))
    for first, second, sign in ((one, other, 1), (other, one, -1)):
        differences = summarise_difference(first, second, DEFINITIONS, resamples=10)
        assert differences["pq"]["difference"] == 0
        assert (differences["pq"]["images"], differences["pq"]["images_left_out"]) == (1, 1)
        assert differences["pq_pooled"]["difference"] == pytest.approx(sign * (1 - 1 / 1.5))


def test_a_difference_agrees_with_its_parts(statistics):
    perfect = statistics_of(*((scene(name)[1], scene(name)[1]) for name in SCENES))
    entry = summarise_difference(perfect, statistics, DEFINITIONS, resamples=50, seed=1)["map"]
    interval = paired_bootstrap_difference(
        perfect["map"], statistics["map"], DEFINITIONS["map"].reduce, resamples=50, seed=1
    )
    assert (entry["difference"], *entry["interval_95"]) == interval


def test_means_over_images_are_exactly_those_that_average_images(statistics):
    for name, definition in DEFINITIONS.items():
        mean = per_image_values(statistics, DEFINITIONS)[name].nanmean()
        assert definition.averages_images == (float(mean) == pytest.approx(float(definition.reduce(statistics[name]))))


def test_the_better_model_differs_upwards(statistics):
    perfect = statistics_of(*((scene(name)[1], scene(name)[1]) for name in SCENES))
    for name, entry in summarise_difference(perfect, statistics, DEFINITIONS, resamples=200).items():
        assert entry["interval_95"][0] > 0, name
