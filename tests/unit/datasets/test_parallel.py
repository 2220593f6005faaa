import os
from functools import partial

import pytest

from medseg_ext.datasets.parallel import parallel_map


def make_scaler(factor):
    return partial(_scale, factor)


def _scale(factor, number):
    if number < 0:
        raise ValueError("negative")
    return factor * number, os.getpid()


def make_killer():
    return os._exit


def test_results_come_in_order_from_other_processes():
    results = list(parallel_map(partial(make_scaler, 3), range(20), workers=2))
    assert [value for value, _ in results] == [3 * number for number in range(20)]
    assert os.getpid() not in {process for _, process in results}


def test_one_worker_needs_no_other_process():
    assert list(parallel_map(partial(make_scaler, 3), [1, 2], workers=1)) == [(3, os.getpid()), (6, os.getpid())]


def test_nothing_to_do_starts_nothing():
    assert list(parallel_map(partial(make_scaler, 3), [], workers=2)) == []


def test_errors_of_the_function_reach_the_caller():
    with pytest.raises(ValueError, match="negative"):
        list(parallel_map(partial(make_scaler, 3), [1, -1, 2], workers=2))


def test_a_killed_worker_is_explained():
    with pytest.raises(MemoryError, match="use fewer workers"):
        list(parallel_map(make_killer, [1, 2], workers=2))
