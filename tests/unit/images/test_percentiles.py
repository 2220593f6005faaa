"""Percentiles of values that come part by part are those of all values at once."""

import numpy as np
import pytest

from medseg_ext.images.percentiles import percentiles_of

PERCENTAGES = [0, 0.1, 33, 50, 99.9, 100]
RANDOM = np.random.default_rng(0)
VALUES = {
    "8 bits": RANDOM.integers(256, size=2011) / 255,
    "16 bits": RANDOM.integers(65536, size=2011) / 65535,
    "12 of 16 bits": RANDOM.integers(4096, size=2011) / 65535,
    "counts of 16 bits in 32": RANDOM.integers(65536, size=2011) / (2**32 - 1),
    "floats of 1e-6": RANDOM.gamma(2, 1e-6, size=2011),
    "floats of 1e-40": RANDOM.gamma(2, 1e-40, size=2011),
    "floats of 1e30": RANDOM.normal(size=2011) * 1e30,
    "over many magnitudes": np.exp(RANDOM.normal(0, 20, size=2011)),
    "of both signs": RANDOM.normal(size=2011),
    "one hot pixel": np.append(RANDOM.gamma(2, 0.05, size=2010), 1e6),
    "zeros of both signs": np.tile([0.0, -0.0, -1.0], 337),
    "constant": np.full(2011, 0.3),
    "one value": np.array([0.7]),
    "two values": np.array([0.2, 0.4]),
}


@pytest.mark.parametrize("n_parts", [1, 7])
@pytest.mark.parametrize("name", VALUES)
def test_percentiles_are_those_of_numpy(name, n_parts):
    values = VALUES[name].astype(np.float32)
    expected = np.percentile(values.astype(np.float64), PERCENTAGES)
    found = percentiles_of(lambda: np.array_split(values, n_parts), PERCENTAGES)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12 * np.abs(values).max())


def test_the_order_of_the_parts_does_not_matter():
    values = VALUES["over many magnitudes"]
    assert percentiles_of(lambda: [values], PERCENTAGES) == percentiles_of(lambda: [values[::-1]], PERCENTAGES)


def test_percentiles_of_millions_of_values_are_exact():
    values = RANDOM.random((3, 700, 1000), dtype=np.float32)
    found = percentiles_of(lambda: values, PERCENTAGES)
    np.testing.assert_allclose(found, np.percentile(values.astype(np.float64), PERCENTAGES), rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_have_no_order_are_refused(value):
    with pytest.raises(ValueError, match="finite"):
        percentiles_of(lambda: [np.array([1.0, value])], [50])


def test_percentiles_of_nothing_are_refused():
    with pytest.raises(ValueError, match="at least one value"):
        percentiles_of(lambda: [np.zeros(0)], [50])
